#include "base/log.h"

#include <mutex>

namespace phub::base {
namespace {
std::mutex mutex;
LogSink& sink() {
  static LogSink instance;
  return instance;
}
}  // namespace

std::string_view to_string(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
  }
  return "unknown";
}

void set_log_sink(LogSink new_sink) {
  const std::scoped_lock lock(mutex);
  sink() = std::move(new_sink);
}

void log(LogLevel level, std::string_view line) {
  const std::scoped_lock lock(mutex);
  if (sink()) sink()(level, line);
}

}  // namespace phub::base
