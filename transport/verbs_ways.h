// Ways to peers, found on a thread of their own: on Ethernet the kernel asks the network who has an
// address, and waits a second for an answer that never comes. One at a time for each rail.
//
// The thread runs while something is asked. Thread-safety: the rail's thread calls.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/thread.h"
#include "transport/verbs_library.h"

namespace phub::transport {

class VerbsWays {
 public:
  using Ticket = uint64_t;  // 0: none.
  struct Answer {
    Ticket ticket = 0;
    VerbsPtr<ibv_ah> way;  // Null: there is none,
    std::string failure;   // and why.
  };

  VerbsWays() = default;
  ~VerbsWays();  // Waits for the one that is under way.
  VerbsWays(const VerbsWays&) = delete;
  VerbsWays& operator=(const VerbsWays&) = delete;

  // REQUIRES, once: pd outlives this. internal: no descriptor is left.
  Status start(ibv_pd* pd);
  // what: begins the sentence if there is none.
  Ticket ask(const ibv_ah_attr& path, std::string what);
  // The answer will not be taken.
  void forget(Ticket ticket);
  // Nothing: not yet.
  std::optional<Answer> take(Ticket ticket);
  bool has_answers() const { return answer_count_.load(std::memory_order_acquire) > 0; }
  // Readable when answers have come since the last calm().
  int wake_fd() const { return wake_.get(); }
  void calm();

 private:
  struct Question {
    Ticket ticket = 0;
    ibv_ah_attr path = {};
    std::string what;
  };
  void run();

  ibv_pd* pd_ = nullptr;
  base::Fd wake_;
  Ticket last_ticket_ = 0;
  std::atomic<size_t> answer_count_{0};
  std::mutex mutex_;  // Of what follows, up to the thread.
  std::deque<Question> questions_;
  std::deque<Answer> answers_;
  Ticket under_way_ = 0;
  bool is_forgotten_ = false;  // The one under way.
  bool is_running_ = false;
  base::Thread thread_;
};

}  // namespace phub::transport
