// The body of POST /v1/jobs: what an operator says of a job to be created ahead of its ranks.
#pragma once

#include <phub/status.h>
#include <phub/types.h>

#include <string_view>

namespace phub::hub {

struct NewJob {
  JobSpec spec;
  bool is_secret_ours = false;  // The body gave none: one was drawn, to be told in the reply.
};

// JSON {"name", "rank_count", "secret"?, "chunk_elements"?}. invalid_argument: names the field.
Result<NewJob> parse_new_job(std::string_view body);

}  // namespace phub::hub
