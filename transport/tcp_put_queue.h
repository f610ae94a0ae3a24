// The unfinished puts of one end of a TCP link: those that wait for a connection, and those that
// have left and whose `sent` is due. The ones between are in the frames of connections, which take
// them in order and finish them in any.
//
// Thread-safety: none. Nothing is allocated after construction.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "transport/fabric.h"

namespace phub::transport {

class TcpPutQueue {
 public:
  explicit TcpPutQueue(uint32_t puts_max) : ring_(std::bit_ceil(uint64_t{puts_max} + 1)) {}

  // False: full.
  bool add(const Put& put) {
    if (added_ - reported_ == ring_.size()) return false;
    at(added_++) = put;
    waiting_bytes_ += put.bytes;
    return true;
  }
  bool is_waiting() const { return taken_ != added_; }
  uint64_t waiting_bytes() const { return waiting_bytes_; }
  // The next one to take. REQUIRES: is_waiting().
  const Put& front() const { return ring_[taken_ & (ring_.size() - 1)]; }
  void pop() { waiting_bytes_ -= at(taken_++).bytes; }

  // Of a put that was taken.
  void finish(uint64_t cookie) { at(finished_++).cookie = cookie; }
  bool has_finished() const { return reported_ != finished_; }
  size_t report(LinkId link, std::span<Event> events) {
    size_t filled = 0;
    for (; has_finished() && filled < events.size(); ++reported_) {
      events[filled++] = {.kind = EventKind::sent, .link = link, .cookie = at(reported_).cookie};
    }
    return filled;
  }

 private:
  Put& at(uint64_t index) { return ring_[index & (ring_.size() - 1)]; }

  // As a ring: the puts [taken_, added_) wait. Of [reported_, finished_) only the cookies are left,
  // in the order in which puts were finished: finished_ <= taken_, so that place is free by then.
  std::vector<Put> ring_;
  uint64_t reported_ = 0;
  uint64_t finished_ = 0;
  uint64_t taken_ = 0;
  uint64_t added_ = 0;
  uint64_t waiting_bytes_ = 0;
};

}  // namespace phub::transport
