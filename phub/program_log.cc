#include "phub/program_log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

namespace phub::hub {
namespace {

constexpr const char* kTextPattern = "%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v";
constexpr const char* kJsonPattern =
    R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","message":%v})";

spdlog::level::level_enum level_of(base::LogLevel level) {
  switch (level) {
    case base::LogLevel::debug:
      return spdlog::level::debug;
    case base::LogLevel::info:
      return spdlog::level::info;
    case base::LogLevel::warning:
      return spdlog::level::warn;
    case base::LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void start_log(base::LogLevel lowest, bool is_json) {
  auto logger = std::make_shared<spdlog::logger>(
      "phubd", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern(is_json ? kJsonPattern : kTextPattern, spdlog::pattern_time_type::utc);
  logger->set_level(level_of(lowest));
  logger->flush_on(spdlog::level::info);
  base::set_log_sink([logger, is_json](base::LogLevel level, std::string_view line) {
    logger->log(level_of(level), is_json ? json_string(line) : std::string(line));
  });
}

void stop_log() { base::set_log_sink({}); }

std::string json_string(std::string_view text) {
  using Json = nlohmann::json;
  return Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace phub::hub
