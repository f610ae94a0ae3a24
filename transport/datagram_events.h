// Events that wait for poll(): a ring that grows at set-up only.
#pragma once

#include <vector>

#include "base/check.h"
#include "transport/fabric.h"

namespace phub::transport {

class EventQueue {
 public:
  // Room for so many more. Allocates: set-up only.
  void grow(size_t count) {
    std::vector<Event> larger(ring_.size() + count);
    for (size_t i = 0; i < size_; ++i) larger[i] = at(i);
    ring_ = std::move(larger);
    first_ = 0;
  }
  bool empty() const { return size_ == 0; }
  // REQUIRES: room, which the owner's own limits guarantee.
  void push(const Event& event) {
    PHUB_DCHECK(size_ < ring_.size());
    at(size_++) = event;
  }
  Event pop() {
    const Event event = at(0);
    first_ = (first_ + 1) % ring_.size();
    --size_;
    return event;
  }
  void erase_link(LinkId link) {
    size_t kept = 0;
    for (size_t i = 0; i < size_; ++i) {
      if (at(i).link != link) at(kept++) = at(i);
    }
    size_ = kept;
  }
  // Gives back the room of a link that is closed.
  void shrink(size_t count) {
    std::vector<Event> smaller(ring_.size() - count);
    PHUB_CHECK(size_ <= smaller.size());
    for (size_t i = 0; i < size_; ++i) smaller[i] = at(i);
    ring_ = std::move(smaller);
    first_ = 0;
  }

 private:
  Event& at(size_t i) { return ring_[(first_ + i) % ring_.size()]; }

  std::vector<Event> ring_;
  size_t first_ = 0;
  size_t size_ = 0;
};

}  // namespace phub::transport
