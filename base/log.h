// Log lines of the control path: a callback that a program connects to its logger.
//
// The data path never logs. Without a sink, lines are dropped: a library is silent by default.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace phub::base {

enum class LogLevel { debug, info, warning, error };
std::string_view to_string(LogLevel level);
using LogSink = std::function<void(LogLevel, std::string_view)>;

// Replaces the process's sink. Thread-safe; a null sink silences.
void set_log_sink(LogSink sink);
void log(LogLevel level, std::string_view line);

}  // namespace phub::base
