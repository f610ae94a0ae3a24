// Where phubd's log lines go: stderr, through spdlog, as text or as one JSON object a line.
#pragma once

#include <string>
#include <string_view>

#include "base/log.h"

namespace phub::hub {

// Connects base::log to stderr. Times are UTC. May be called again, with other choices.
void start_log(base::LogLevel lowest, bool is_json);
// Lines from here on are dropped; what was logged is flushed.
void stop_log();

// The text as a JSON string with its quotes; bytes that are not UTF-8 are replaced.
std::string json_string(std::string_view text);

}  // namespace phub::hub
