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

void set_log_sink(LogSink new_sink) {
  const std::scoped_lock lock(mutex);
  sink() = std::move(new_sink);
}

void log(LogLevel level, std::string_view line) {
  const std::scoped_lock lock(mutex);
  if (sink()) sink()(level, line);
}

}  // namespace phub::base
