// Shared memory between phub-perf and the ranks that it measures: barrier, samples, verdicts.
//
// The same board and the same barrier serve every system, so that times mean the same: each rank
// takes its own time between two barriers, and a round's time is the largest of them.
// Thread-safety: one process per rank, each writing its own row.
#pragma once

#include <phub/status.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/memory.h"

namespace phub::perf {

// How long a rank waits for the others before it gives up.
constexpr std::chrono::seconds kBarrierTimeout{120};

class Board {
 public:
  // A new board in a file that only this user can open; removed on destruction.
  static Result<Board> create(uint32_t rank_count, uint32_t round_count);
  // The board that a parent created. invalid_argument: not a board.
  static Result<Board> open(const std::string& path);

  Board(Board&& other) noexcept;
  Board& operator=(Board&&) = delete;
  ~Board();

  const std::string& path() const { return path_; }
  uint32_t rank_count() const;
  uint32_t round_count() const;

  // Returns when all ranks have called it. Spins briefly, then sleeps.
  // aborted: the parent called fail().  timed_out: a rank is missing.
  Status barrier(std::chrono::nanoseconds timeout = kBarrierTimeout);
  void fail();  // Every barrier, now and later, returns `aborted`.

  void record(uint32_t rank, uint32_t round, uint64_t ns);
  void add_wrong(uint64_t count);
  uint64_t wrong() const;
  // Per round: the slowest rank's time in microseconds.
  std::vector<double> round_times_us() const;

  // A stop at which all ranks wait for the parent, who looks at the hub meanwhile. Stops are
  // numbered from 1. `pause` is a rank's side; `reached` and `resume` are the parent's.
  Status pause(uint32_t stop);
  bool reached(uint32_t stop) const;
  void resume(uint32_t stop);

 private:
  struct Header;
  Board(std::string path, bool is_owner, base::Mapping memory);
  Header& header() const;
  std::atomic<uint64_t>& cell(uint32_t rank, uint32_t round) const;

  std::string path_;
  bool is_owner_ = false;
  base::Mapping memory_;
};

}  // namespace phub::perf
