// Index arithmetic of a single-producer single-consumer ring over memory that may be shared with
// another process.
//
// The ring does not trust its peer: each side keeps its own index privately, reads the other's from
// shared memory, and takes a difference beyond the capacity as corruption. Thread-safety: one
// producer and one consumer, each on one thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/memory.h"

namespace phub::base {

// The shared part; zeroed memory is an empty ring.
struct SpscIndexes {
  alignas(kCacheLineBytes) std::atomic<uint64_t> tail{
      0};  // Written by the producer: items ever put.
  alignas(kCacheLineBytes) std::atomic<uint64_t> head{
      0};  // Written by the consumer: items ever taken.
};

// The producer's private view.
template <typename T>
class SpscProducer {
 public:
  SpscProducer() = default;
  // capacity: a power of two. REQUIRES: both views see the same memory.
  SpscProducer(SpscIndexes* indexes, T* items, uint64_t capacity)
      : indexes_(indexes), items_(items), mask_(capacity - 1) {}

  // Items that fit now. A corrupt head counts as full.
  uint64_t free_count() {
    const uint64_t capacity = mask_ + 1;
    const uint64_t head = indexes_->head.load(std::memory_order_acquire);
    const uint64_t used = tail_ - head;
    return used > capacity ? 0 : capacity - used;
  }
  // Writes the next item; invisible until publish(). REQUIRES: free_count() > 0.
  void stage(const T& item) { items_[tail_++ & mask_] = item; }
  void publish() { indexes_->tail.store(tail_, std::memory_order_release); }
  uint64_t tail() const { return tail_; }

 private:
  SpscIndexes* indexes_ = nullptr;
  T* items_ = nullptr;
  uint64_t mask_ = 0;
  uint64_t tail_ = 0;
};

// The consumer's private view.
template <typename T>
class SpscConsumer {
 public:
  SpscConsumer() = default;
  SpscConsumer(SpscIndexes* indexes, const T* items, uint64_t capacity)
      : indexes_(indexes), items_(items), mask_(capacity - 1) {}

  // Items waiting; sets is_corrupt() when the producer's index makes no sense.
  uint64_t available() {
    const uint64_t waiting = indexes_->tail.load(std::memory_order_acquire) - head_;
    if (waiting > mask_ + 1) {
      is_corrupt_ = true;
      return 0;
    }
    return waiting;
  }
  // A copy of the next item: the producer may overwrite the original at any time.
  T take() { return items_[head_++ & mask_]; }
  void publish() { indexes_->head.store(head_, std::memory_order_release); }
  uint64_t head() const { return head_; }
  bool is_corrupt() const { return is_corrupt_; }

 private:
  SpscIndexes* indexes_ = nullptr;
  const T* items_ = nullptr;
  uint64_t mask_ = 0;
  uint64_t head_ = 0;
  bool is_corrupt_ = false;
};

}  // namespace phub::base
