#include "perf/rank_loop.h"

#include "base/clock.h"
#include "base/try.h"

namespace phub::perf {

Status run_rounds(Board& board, const RankOptions& options, const RankHooks& hooks) {
  const uint32_t total = options.warmup + board.round_count();
  for (uint32_t round = 1; round <= total; ++round) {
    hooks.prepare(round);
    // Twice: the first barrier may sleep, and waking takes long; out of the second all come at
    // once.
    PHUB_TRY(board.barrier());
    PHUB_TRY(board.barrier());
    const base::Instant start = base::now();
    PHUB_TRY(hooks.exchange(round));
    const std::chrono::nanoseconds taken = base::now() - start;
    // Nobody verifies while others still exchange: it would cost them memory bandwidth.
    PHUB_TRY(board.barrier());
    if (round > options.warmup) {
      board.record(options.rank, round - options.warmup - 1, static_cast<uint64_t>(taken.count()));
    }
    board.add_wrong(hooks.count_wrong(round));
    if (options.is_paused && round == options.warmup) PHUB_TRY(board.pause(1));
  }
  return options.is_paused ? board.pause(2) : Status();
}

}  // namespace phub::perf
