// Commands between threads of the hub: closures that the receiving thread runs inside its poll.
//
// Control posts to shards (install a job, settings, leave) and shards post back (done, a rank
// misbehaved). Rare by design; the data path only asks whether there are any. Thread-safety: post
// from any thread; run from the owner's.
#pragma once

#include <oneapi/tbb/concurrent_queue.h>

#include <atomic>
#include <functional>

#include "base/check.h"
#include "base/fd.h"

namespace phub::hub {

class Tasks {
 public:
  Tasks() {
    Result<base::Fd> fd = base::make_event_fd();
    PHUB_CHECK(fd.ok());
    wake_ = std::move(fd).value();
  }

  void post(std::function<void()> task) {
    queue_.push(std::move(task));
    waiting_.fetch_add(1, std::memory_order_release);
    base::signal_event(wake_.get());
  }
  bool empty() const { return waiting_.load(std::memory_order_acquire) == 0; }
  // Runs what is there; returns how many ran.
  size_t run() {
    if (empty()) return 0;
    size_t count = 0;
    std::function<void()> task;
    while (queue_.try_pop(task)) {
      waiting_.fetch_sub(1, std::memory_order_relaxed);
      task();
      task = nullptr;
      ++count;
    }
    return count;
  }
  // Wakes the owner without a task: something it looks at has changed.
  void wake() { base::signal_event(wake_.get()); }
  // After a sleep on fd(): makes it silent again. Tasks that are there stay.
  void clear_wake() { base::drain_event(wake_.get()); }
  int fd() const { return wake_.get(); }  // Readable when there is a task or a wake.

 private:
  oneapi::tbb::concurrent_queue<std::function<void()>> queue_;
  std::atomic<int64_t> waiting_{0};
  base::Fd wake_;
};

}  // namespace phub::hub
