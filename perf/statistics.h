// What samples say, and bandwidths as users of nccl-tests read them. GB = 1e9 bytes.
#pragma once

#include <cstdint>
#include <span>

namespace phub::perf {

// The q-quantile, 0 <= q <= 1, by the nearest-rank method: the smallest sample that at least q of
// all samples do not exceed. 0 without samples.
double quantile(std::span<const double> samples, double q);

// The middle sample, or the mean of the two middle ones.
double median(std::span<const double> samples);

// One exchange of `bytes` per rank among `ranks` ranks in time_us.
struct Bandwidth {
  double alg = 0;  // bytes / time: what one rank's link carries each way.
  double bus = 0;  // alg * 2 (n - 1) / n: an all-reduce's share of a bus, for comparison.
  double hub = 0;  // n * bytes / time: what the hub takes in, and gives out, at the same time.
};
Bandwidth bandwidth(uint64_t bytes, uint32_t ranks, double time_us);

}  // namespace phub::perf
