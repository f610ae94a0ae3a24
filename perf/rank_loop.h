// One rank's side of a measurement, the same for every system.
#pragma once

#include <phub/status.h>

#include <cstdint>
#include <functional>

#include "perf/board.h"

namespace phub::perf {

// What differs between systems. Rounds count from 1.
struct RankHooks {
  std::function<void(uint32_t round)> prepare;          // New gradients, poisoned results.
  std::function<Status(uint32_t round)> exchange;       // What is timed.
  std::function<uint64_t(uint32_t round)> count_wrong;  // Elements.
};

struct RankOptions {
  uint32_t rank = 0;
  uint32_t warmup = 0;     // Rounds before those that the board records; verified all the same.
  bool is_paused = false;  // Stop 1 after the warm-up, stop 2 at the end: the parent looks around.
};

// Runs warmup + board.round_count() rounds. The first error of a hook or of the board.
Status run_rounds(Board& board, const RankOptions& options, const RankHooks& hooks);

}  // namespace phub::perf
