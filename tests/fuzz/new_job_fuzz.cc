// Goal: no body of POST /v1/jobs crashes the hub, and what it takes keeps within the job's limits.
#include <phub/types.h>

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "phub/new_job.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto job = phub::hub::parse_new_job({reinterpret_cast<const char*>(data), size});
  if (!job.ok()) {
    PHUB_CHECK(job.status().code() == phub::Code::invalid_argument);
    PHUB_CHECK(!job.status().message().empty());
    return 0;
  }
  const phub::JobSpec& spec = job->spec;
  PHUB_CHECK(!spec.name.empty() && spec.name.size() <= 64);
  PHUB_CHECK(spec.rank_count >= 1 && spec.rank_count <= phub::kRankCountMax);
  PHUB_CHECK(spec.chunk_elements >= 64 && spec.chunk_elements % 64 == 0);
  PHUB_CHECK(!spec.secret.empty() && spec.secret.size() <= 512);
  return 0;
}
