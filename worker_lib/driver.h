// Many threads around one Client: a lock, one thread at a time that moves the bytes, and sleep.
//
// Whoever waits drives; who finds a driver at work waits for its news, and takes over when it
// leaves. With a thread of its own, that thread always drives. The driver polls, spins a little,
// then sleeps on the fabric's descriptor, the session's and an eventfd, without the lock.
// Callbacks run on the driving thread, without the lock.
// Thread-safety: any thread, except where noted.
#pragma once

#include <phub/status.h>
#include <poll.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/thread.h"
#include "worker_lib/client.h"

namespace phub::client {

class Driver {
 public:
  // thread: a thread of this object drives.
  static Result<std::unique_ptr<Driver>> create(std::unique_ptr<Client> client, bool thread);
  ~Driver();  // REQUIRES: no other thread is inside.
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // What a waiting thread waits for. `operations` must stay valid until wait() returns.
  struct Wait {
    Interest interest;
    std::function<bool(const Client&)> is_over;
  };
  // Returns true when is_over, false when the deadline passed first.
  bool wait(const Wait& wait, Instant deadline);

  // Moves what can be moved now; returns at once.
  void poll();

  // call(client) under the lock. `call` may start operations, ask, or read.
  template <typename Call>
  auto with(Call call) {
    ++contender_count_;
    std::unique_lock lock(mutex_);
    --contender_count_;
    auto result = call(*client_);
    // With a thread the copies of a submission are its work, not the submitter's.
    if (!has_thread_) client_->pump();
    wake_sleeper();
    return result;
  }

 private:
  using Lock = std::unique_lock<std::mutex>;

  Driver(std::unique_ptr<Client> client, bool thread, base::Fd wake);
  void drive(Lock& lock, const std::function<bool(const Client&)>& is_over, Instant deadline);
  size_t poll_once(Lock& lock, Instant now);
  void sleep(Lock& lock, Instant deadline);
  void run_callbacks(Lock& lock);
  void wake_sleeper();

  std::unique_ptr<Client> client_;
  const bool has_thread_;
  const std::chrono::nanoseconds spin_;
  base::Fd wake_;  // Wakes the sleeping driver.

  std::mutex mutex_;
  std::condition_variable news_;
  std::atomic<int> contender_count_{0};  // Threads that want the lock: the driver lets them in.
  bool is_driving_ = false;
  bool is_sleeping_ = false;
  bool is_stopping_ = false;
  uint64_t told_news_ = 0;
  std::vector<const Wait*> waits_;
  std::vector<Operation> waited_;   // Scratch of sleep(): what all waits want.
  std::vector<pollfd> fds_;         // Scratch of sleep().
  std::vector<Finished> finished_;  // Scratch of run_callbacks().
  base::Thread thread_;             // Last: it uses all of the above.
};

}  // namespace phub::client
