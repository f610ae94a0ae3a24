// Chunks that a shard can advance, the most urgent first: larger priority, then lower slot.
//
// A tree of bitmaps over the order of urgency: a bit of a word says that the word below it is not
// empty. Four words are touched at most, however many chunks wait. Memory is taken at construction;
// a chunk is in it at most once. Thread-safety: none.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "exchange/wire.h"

namespace phub::hub {

class WorkQueue {
 public:
  static constexpr size_t kBytesPerChunk = 2 * sizeof(uint32_t);  // And a bit.

  // priorities[slot]; slots are [0, priorities.size()).
  explicit WorkQueue(std::span<const int32_t> priorities) {
    rank_of_slot_.resize(priorities.size());
    slot_of_rank_.resize(priorities.size());
    for (uint32_t slot = 0; slot < priorities.size(); ++slot) slot_of_rank_[slot] = slot;
    std::stable_sort(slot_of_rank_.begin(), slot_of_rank_.end(),
                     [&](uint32_t a, uint32_t b) { return priorities[a] > priorities[b]; });
    for (uint32_t rank = 0; rank < priorities.size(); ++rank) {
      rank_of_slot_[slot_of_rank_[rank]] = rank;
    }
    size_t bits = priorities.size();
    for (std::vector<uint64_t>& level : levels_) {
      level.resize(bits / kWordBits + 1);
      bits = level.size();
    }
  }

  bool empty() const { return levels_.back()[0] == 0; }
  void push(uint32_t slot) {
    uint32_t at = rank_of_slot_[slot];
    for (std::vector<uint64_t>& level : levels_) {
      uint64_t& word = level[at / kWordBits];
      const bool was_empty = word == 0;
      word |= uint64_t{1} << at % kWordBits;
      if (!was_empty) return;
      at /= kWordBits;
    }
  }
  // The slot that pop() would return. REQUIRES: !empty().
  uint32_t front() const { return slot_of_rank_[first()]; }
  // REQUIRES: !empty().
  uint32_t pop() {
    const uint32_t rank = first();
    uint32_t at = rank;
    for (std::vector<uint64_t>& level : levels_) {
      uint64_t& word = level[at / kWordBits];
      word &= ~(uint64_t{1} << at % kWordBits);
      if (word != 0) break;
      at /= kWordBits;
    }
    return slot_of_rank_[rank];
  }

 private:
  static constexpr uint32_t kWordBits = 64;
  static constexpr size_t kLevels = 5;  // The last is one word.
  static_assert(exchange::kSlotBits < 6 * kLevels);

  uint32_t first() const {
    uint32_t at = 0;
    for (size_t level = kLevels; level-- > 0;) {
      at = at * kWordBits + static_cast<uint32_t>(std::countr_zero(levels_[level][at]));
    }
    return at;
  }

  std::vector<uint32_t> rank_of_slot_;  // Urgency: 0 is the most urgent.
  std::vector<uint32_t> slot_of_rank_;
  std::array<std::vector<uint64_t>, kLevels> levels_;  // The lowest: a bit for each rank.
};

}  // namespace phub::hub
