// The machine's roofs: how fast the plainest loops go on this machine, now.
#pragma once

#include <phub/status.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "base/memory.h"

namespace phub::perf {

// Seconds for which `work(thread)` runs once on each of `thread_count` pinned threads, the
// slowest thread counting; repeated until `seconds_min` have gone by. The best of `tries`.
double time_threads(uint32_t thread_count, double seconds_min, uint32_t tries,
                    const std::function<void(uint32_t thread)>& work);

// The hub's own bound for an exchange: N reads and N non-temporal writes per element, by as many
// threads as the hub has shards, each with its own chunks of 32 KiB. No exchange through a hub on
// this machine can be faster, whatever its fabric.
class HubRoof {
 public:
  // Buffers beyond kRoofBytesMax per rank are measured at that size and scaled: both lie in DRAM.
  static constexpr uint64_t kRoofBytesMax = 128u << 20;
  // resource_exhausted: no memory.
  static Result<HubRoof> create(uint64_t bytes, uint32_t ranks, uint32_t thread_count);

  // Microseconds of one exchange; the best of a few passes in each block size.
  double measure_us();

 private:
  HubRoof() = default;
  double scale_ = 1;
  uint64_t floats_ = 0;
  uint32_t thread_count_ = 1;
  std::vector<base::Mapping> sources_, targets_;
};

}  // namespace phub::perf
