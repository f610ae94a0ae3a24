// The puts of one queue pair, in the order in which they leave:
//
//   | done: sent is not reported yet | flying: posted | waiting: for room or for the queue pair |
//
// After an error the flying ones that never arrived wait again, in their order.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>

#include "base/check.h"

namespace phub::transport {

struct VerbsPut {
  const std::byte* data = nullptr;
  uint64_t cookie = 0;
  uint32_t slot = 0;
  uint32_t tag = 0;
  uint32_t bytes = 0;
  uint32_t end = 0;  // Work requests of the queue pair up to and with this put's, when posted.
};

class VerbsPutRing {
 public:
  // Rounded up to a power of two.
  explicit VerbsPutRing(uint32_t capacity)
      : mask_(std::bit_ceil(capacity) - 1), puts_(std::make_unique<VerbsPut[]>(mask_ + 1)) {}

  uint32_t done() const { return flying_ - head_; }
  uint32_t flying() const { return waiting_ - flying_; }
  uint32_t waiting() const { return tail_ - waiting_; }
  bool is_full() const { return tail_ - head_ > mask_; }

  void push(const VerbsPut& put) {
    PHUB_DCHECK(!is_full());
    puts_[tail_++ & mask_] = put;
  }
  VerbsPut& waiting_at(uint32_t i) { return puts_[(waiting_ + i) & mask_]; }
  void fly(uint32_t count) { waiting_ += count; }
  const VerbsPut& oldest_flying() const { return puts_[flying_ & mask_]; }
  void land_one() { ++flying_; }
  const VerbsPut& oldest_done() const { return puts_[head_ & mask_]; }
  void pop_done() { ++head_; }
  // The flying ones wait again.
  void rewind() { waiting_ = flying_; }
  // Takes the first waiting one out. REQUIRES: nothing is done or flying, something waits.
  VerbsPut take_waiting() {
    PHUB_DCHECK(done() == 0 && flying() == 0 && waiting() > 0);
    const VerbsPut put = puts_[head_ & mask_];
    head_ = flying_ = ++waiting_;
    return put;
  }

 private:
  uint32_t mask_;
  std::unique_ptr<VerbsPut[]> puts_;
  // Ever rising: head_ <= flying_ <= waiting_ <= tail_.
  uint32_t head_ = 0;
  uint32_t flying_ = 0;
  uint32_t waiting_ = 0;
  uint32_t tail_ = 0;
};

}  // namespace phub::transport
