// Which ranks' pushes of which round a chunk has: the protocol's heart, bookkeeping only.
//
// No floats, sockets or time. Rounds count from 1; one round of a chunk is open at a time, because
// a rank's next push follows its result. Duplicates are dropped, so at-least-once delivery is
// enough. Ranks are taken in blocks of eight (kernels::kFoldSourcesMax): a block is ready when all
// its active ranks have pushed, and blocks are folded in order, so the sum is in rank order
// whatever arrives first. Thread-safety: none; the owning shard's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace phub::hub {

enum class Verdict : uint8_t {
  accepted,   // A new summand of the open round.
  duplicate,  // Seen before, or from rounds ago, or from a rank that has left: drop it.
  stale,      // Of the round just finished: a copy that came late. Drop it, too.
  invalid,    // No correct worker can be there.
};

class ChunkStates {
 public:
  static constexpr uint32_t kBlockRanks = 8;
  static constexpr size_t kBytesPerChunk = 12;  // And one for each block.

  ChunkStates(uint32_t chunk_count, uint32_t rank_count);

  // A push of `round` modulo 16 from `rank`.
  Verdict on_push(uint32_t chunk, uint32_t rank, uint32_t round_bits);

  // All active ranks have pushed the open round.
  bool is_complete(uint32_t chunk) const { return records_[chunk].missing == 0; }
  bool is_open(uint32_t chunk) const { return records_[chunk].arrived != 0; }
  uint32_t done_rounds(uint32_t chunk) const { return records_[chunk].done; }
  uint32_t arrived_count(uint32_t chunk) const { return records_[chunk].arrived; }
  bool has_arrived(uint32_t chunk, uint32_t rank) const {
    return (arrived_bits(chunk)[rank / kBlockRanks] >> (rank % kBlockRanks) & 1) != 0;
  }
  // Ranks of the block that have pushed, one bit each.
  uint8_t arrived_in_block(uint32_t chunk, uint32_t block) const {
    return arrived_bits(chunk)[block];
  }

  // Some rank of a block before `block` has pushed the open round.
  bool has_arrived_before(uint32_t chunk, uint32_t block) const;

  // The first block that is not folded; block_count() when all are.
  uint32_t next_block(uint32_t chunk) const { return records_[chunk].next_block; }
  bool is_block_ready(uint32_t chunk, uint32_t block) const {
    return block < block_count_ && (arrived_bits(chunk)[block] & active_[block]) == active_[block];
  }
  // The last block with a summand of the open round: folded by the final pass.
  uint32_t last_block(uint32_t chunk) const;
  void block_folded(uint32_t chunk) { ++records_[chunk].next_block; }
  uint32_t block_count() const { return block_count_; }

  // Closes the open round. REQUIRES: is_complete().
  void finish_round(uint32_t chunk);

  // The rank takes no part from every chunk's open round on, unless it has pushed that already.
  void remove_rank(uint32_t rank);
  bool is_active(uint32_t rank) const {
    return (active_[rank / kBlockRanks] >> (rank % kBlockRanks) & 1) != 0;
  }
  uint32_t active_count() const { return active_count_; }

 private:
  struct Record {
    uint32_t done = 0;
    uint16_t arrived = 0;
    uint16_t missing = 0;
    uint32_t next_block = 0;
  };
  static_assert(sizeof(Record) == kBytesPerChunk);
  const uint8_t* arrived_bits(uint32_t chunk) const { return &bits_[size_t{chunk} * block_count_]; }
  uint8_t* arrived_bits(uint32_t chunk) { return &bits_[size_t{chunk} * block_count_]; }

  uint32_t block_count_;
  uint32_t active_count_;
  std::vector<Record> records_;
  std::vector<uint8_t> bits_;    // chunk-major, one byte a block.
  std::vector<uint8_t> active_;  // One byte a block.
};

}  // namespace phub::hub
