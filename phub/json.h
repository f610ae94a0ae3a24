// What the hub says about itself, as JSON for programs. docs/operations.md lists the fields.
//
// Every function returns a complete document. Text that is not UTF-8 (a rank chooses its host's and
// its tensors' names) has its broken bytes replaced, so that the document is always valid.
#pragma once

#include <phub/status.h>
#include <phub/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "config/hub_reload.h"
#include "phub/snapshot.h"

namespace phub::hub {

std::string to_json(const HubSnapshot& hub);  // Without its jobs' ranks.
std::string to_json(const JobSnapshot& job);  // With its ranks.
std::string to_json(const std::vector<JobSnapshot>& jobs);
std::string to_json(const std::string& job, const std::vector<LateSnapshot>& late);
std::string version_to_json(const HubSnapshot& hub);

// exchange::to_text of a map: {"summary": ..., "chunks": [{column: value, ...}, ...]}.
std::string map_to_json(const std::string& job, std::string_view text);

// {"done": what}, and the reply to a job's creation: its secret only if `is_secret_shown`.
std::string done_to_json(const std::string& what);
std::string created_to_json(const JobSpec& spec, bool is_secret_shown);

// {"applied": [{"option", "from", "to"}, ...], "needs_restart": [...]}, and {"level": "info"}.
std::string to_json(const config::HubReload& reload);
std::string log_level_to_json(base::LogLevel level);

// {"error": {"code": "not_found", "message": ...}}
std::string error_to_json(const Status& status);

}  // namespace phub::hub
