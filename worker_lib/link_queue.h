// What waits to be put on one link: runs of slots, the tensor with the larger priority first and
// first come, first served within.
//
// A binary heap over memory taken at construction; a tensor is in it at most once.
// Thread-safety: none.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace phub::client {

class LinkQueue {
 public:
  struct Run {
    int32_t priority = 0;
    uint64_t sequence = 0;  // Order of submission.
    uint32_t tensor = 0;
    uint32_t next_slot = 0;
    uint32_t end_slot = 0;
    uint32_t staged_slot = 0;  // Slots before this have been copied to registered memory.
  };

  explicit LinkQueue(size_t tensor_count) { heap_.reserve(tensor_count); }

  bool empty() const { return heap_.empty(); }
  void push(const Run& run) {
    heap_.push_back(run);
    std::push_heap(heap_.begin(), heap_.end(), is_less_urgent);
  }
  // The most urgent. Its slots may be advanced, nothing else. REQUIRES: !empty().
  Run& front() { return heap_.front(); }
  void pop() {
    std::pop_heap(heap_.begin(), heap_.end(), is_less_urgent);
    heap_.pop_back();
  }
  void clear() { heap_.clear(); }

 private:
  static bool is_less_urgent(const Run& a, const Run& b) {
    return a.priority != b.priority ? a.priority < b.priority : a.sequence > b.sequence;
  }
  std::vector<Run> heap_;
};

}  // namespace phub::client
