// Sleeping and waking across processes: how a consumer parks without losing a wake-up, and how a
// producer wakes it at most once, only when what it waits for is there.
//
// Each side of a link has a WakeLine in shared memory. To sleep, the consumer C writes which tail
// it waits for and raises a flag; a producer P that publishes looks at the flag.
//
//   C: wake_at = head + wanted; is_parked = 1 (release)     P: tail = n (release)
//   C: full fence                                           P: full fence
//   C: tail >= wake_at? then do not sleep                   P: is_parked (acquire) and tail >=
//   C: sleep on the socket                                     wake_at? then exchange(is_parked,
//   0);
//                                                              whoever got the 1 writes one byte
//
// No wake-up is lost: the two fences have an order. If C's is first, P, behind its own, sees the
// flag and (by the acquire) thresholds at least as new. If P's is first, C's look at the tail finds
// n. P may combine the flag of one sleep with the thresholds of the next; then C has passed another
// fence and another look in between, and the same argument holds for the later sleep.
// No herd: the flag is taken down by the first who is due, so one sleep costs one write however
// many puts follow; and nobody is due before the threshold. A waiter that wants 3,000 replies is
// woken by the last.
// Spurious wake-ups do happen (the byte of a flag that C took down by itself); they are harmless.
//
// The byte travels over a socket pair of the link, not an eventfd: O_NONBLOCK of an eventfd belongs
// to both processes, so a worker could switch it off, fill the counter, and put the hub to sleep
// for ever in a write. MSG_DONTWAIT belongs to the call. A pair for each link also keeps one worker
// from eating another's wake-ups, and its end tells that the process is gone.
//
// The thresholds are the peer's word: a wrong one can cost a write per publication, no more.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/memory.h"

namespace phub::transport {

// Shared; zeroed memory is an awake side. Written by its owner, except that the peer takes down
// is_parked.
struct WakeLine {
  // Tails of the (at most two) rings that the owner consumes.
  alignas(base::kCacheLineBytes) std::atomic<uint64_t> wake_at[2];
  std::atomic<uint32_t> is_parked;
  std::atomic<uint32_t> is_closed;  // The owner has closed the link; all its records are published.
};

// Added to a head: a threshold that is never reached.
constexpr uint64_t kNever = uint64_t{1} << 62;

constexpr bool is_reached(uint64_t tail, uint64_t wake_at) {
  return static_cast<int64_t>(tail - wake_at) >= 0;
}

// Orders earlier stores before later loads, also against the other process.
inline void full_fence() {
#ifdef __SANITIZE_THREAD__
  // ThreadSanitizer does not know fences. A locked instruction orders the same on x86.
  std::atomic<uint32_t> word{0};
  word.fetch_add(1, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

// Consumer. A full fence and a look at the tails must follow.
inline void park(WakeLine& own, uint64_t wake_at_first, uint64_t wake_at_second) {
  own.wake_at[0].store(wake_at_first, std::memory_order_relaxed);
  own.wake_at[1].store(wake_at_second, std::memory_order_relaxed);
  own.is_parked.store(1, std::memory_order_release);
}
inline void unpark(WakeLine& own) { own.is_parked.store(0, std::memory_order_relaxed); }

// Producer, after publishing and a full fence: whether the caller has to wake the peer now.
inline bool claim_wake(WakeLine& peer, uint64_t tail_first, uint64_t tail_second) {
  if (peer.is_parked.load(std::memory_order_acquire) == 0) return false;
  if (!is_reached(tail_first, peer.wake_at[0].load(std::memory_order_relaxed)) &&
      !is_reached(tail_second, peer.wake_at[1].load(std::memory_order_relaxed))) {
    return false;
  }
  return peer.is_parked.exchange(0, std::memory_order_relaxed) != 0;
}

}  // namespace phub::transport
