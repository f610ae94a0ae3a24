// Threads for shards: poll, spin a little when idle, then sleep until a fabric or a task calls.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>

#include "base/thread.h"
#include "phub/shard.h"

namespace phub::hub {

struct RunnerOptions {
  int core = -1;                            // -1: not pinned.
  std::chrono::microseconds idle_spin{50};  // Polling without work before the first sleep.
};

// Runs a shard's poll on a thread of its own until destroyed. Between polls the core is offered to
// others (sched_yield) while idle, so that a machine with fewer cores than processes still runs
// well. REQUIRES: nobody else polls the shard meanwhile.
class Runner {
 public:
  Runner(Shard* shard, const RunnerOptions& options);
  ~Runner();  // Stops the thread; the shard stays as it is.

  // Any thread; from the next time the shard finds no work.
  void set_idle_spin(std::chrono::microseconds idle_spin) {
    idle_spin_us_.store(idle_spin.count(), std::memory_order_relaxed);
  }

 private:
  void run();
  void sleep(int epoll, base::Instant now);

  Shard* const shard_;
  std::atomic<int64_t> idle_spin_us_;
  std::atomic<bool> is_stopping_{false};
  base::Thread thread_;
};

}  // namespace phub::hub
