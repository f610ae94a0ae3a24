// The bodies of requests: POST /v1/jobs says what a job shall be that is created ahead of its
// ranks, PUT /v1/log-level what is logged.
#pragma once

#include <phub/status.h>
#include <phub/types.h>

#include <string_view>

#include "base/log.h"

namespace phub::hub {

struct NewJob {
  JobSpec spec;
  bool is_secret_ours = false;  // The body gave none: one was drawn, to be told in the reply.
};

// JSON {"name", "rank_count", "secret"?, "chunk_elements"?}. invalid_argument: names the field.
Result<NewJob> parse_new_job(std::string_view body);

// JSON {"level": "debug"}. invalid_argument: names the levels.
Result<base::LogLevel> parse_new_log_level(std::string_view body);

}  // namespace phub::hub
