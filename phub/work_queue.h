// Chunks that a shard can advance, the most urgent first: larger priority, then lower slot.
//
// A binary heap over memory taken at construction; a chunk is in it at most once.
// Thread-safety: none.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace phub::hub {

class WorkQueue {
 public:
  static constexpr size_t kBytesPerChunk = 3 * sizeof(uint32_t);  // And a bit.

  // priorities[slot]; slots are [0, priorities.size()).
  explicit WorkQueue(std::span<const int32_t> priorities) : is_queued_(priorities.size(), false) {
    rank_of_slot_.resize(priorities.size());
    slot_of_rank_.resize(priorities.size());
    for (uint32_t slot = 0; slot < priorities.size(); ++slot) slot_of_rank_[slot] = slot;
    std::stable_sort(slot_of_rank_.begin(), slot_of_rank_.end(),
                     [&](uint32_t a, uint32_t b) { return priorities[a] > priorities[b]; });
    for (uint32_t rank = 0; rank < priorities.size(); ++rank) {
      rank_of_slot_[slot_of_rank_[rank]] = rank;
    }
    heap_.reserve(priorities.size());
  }

  bool empty() const { return heap_.empty(); }
  void push(uint32_t slot) {
    if (is_queued_[slot]) return;
    is_queued_[slot] = true;
    heap_.push_back(rank_of_slot_[slot]);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }
  // REQUIRES: !empty().
  uint32_t pop() {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const uint32_t slot = slot_of_rank_[heap_.back()];
    heap_.pop_back();
    is_queued_[slot] = false;
    return slot;
  }

 private:
  std::vector<bool> is_queued_;
  std::vector<uint32_t> rank_of_slot_;  // Urgency: 0 is the most urgent.
  std::vector<uint32_t> slot_of_rank_;
  std::vector<uint32_t> heap_;
};

}  // namespace phub::hub
