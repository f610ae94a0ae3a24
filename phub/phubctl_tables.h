// The hub's JSON as tables for people.
//
// invalid_argument: the text is not what a hub of this version sends; says what is missing.
#pragma once

#include <phub/status.h>

#include <string>

namespace phub::hub {

Result<std::string> status_table(const std::string& json);
Result<std::string> jobs_table(const std::string& json);
Result<std::string> job_table(const std::string& json);
Result<std::string> late_table(const std::string& json);
Result<std::string> created_text(const std::string& json);
Result<std::string> done_text(const std::string& json);
Result<std::string> reload_text(const std::string& json);
Result<std::string> log_level_text(const std::string& json);
Result<std::string> version_text(const std::string& json);

// The sentence of {"error": ...}; the text itself if it is none.
std::string error_text(const std::string& json);

}  // namespace phub::hub
