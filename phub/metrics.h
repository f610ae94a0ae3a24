// What the hub says about itself, as Prometheus text (exposition format 0.0.4).
// docs/operations.md lists every metric and the alarms built on them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "phub/snapshot.h"

namespace phub::hub {

// How far a job is behind now.
struct JobLateness {
  std::string job;
  uint32_t tensor_count = 0;  // With a round that cannot complete.
  double seconds_max = 0;     // The oldest of those rounds.
};
JobLateness summarize(const std::string& job, const std::vector<LateSnapshot>& late);

std::string to_metrics(const HubSnapshot& hub, std::span<const JobLateness> lateness);

// A label's value with backslash, quote and line feed escaped.
std::string escape_label(std::string_view value);

}  // namespace phub::hub
