// What a job costs the hub in memory, known before anything is allocated.
#pragma once

#include <phub/types.h>

#include <cstdint>
#include <span>

#include "base/memory.h"
#include "exchange/map.h"

namespace phub::exchange {

constexpr uint64_t kResultVersions = 2;  // This round's result and the one before.
constexpr uint32_t kRanksPerPass = 8;    // Beyond this a fold needs an accumulator.

// The tables, per chunk: its state machine and constants (one cache line); for each rank a source
// pointer and an arrival flag, padded to cache lines; for each rank two ring entries, one in each
// direction.
constexpr uint64_t kChunkStateBytes = 64;
constexpr uint64_t kRankSourceBytes = 8 + 1;
constexpr uint64_t kRingEntryBytes = 32;
constexpr uint64_t kRingsPerLink = 2;
constexpr uint64_t table_bytes_per_chunk(uint32_t rank_count) {
  return kChunkStateBytes + base::align_up(rank_count * kRankSourceBytes, base::kCacheLineBytes) +
         rank_count * kRingsPerLink * kRingEntryBytes;
}

struct MemoryPlan {
  uint64_t slot_bytes = 0;    // Input slots: ranks x model, on fabrics whose puts land at the hub.
  uint64_t result_bytes = 0;  // Two versions, on the same fabrics.
  uint64_t accumulator_bytes = 0;  // float32 (or wider) folds: over 8 ranks, or clipping.
  uint64_t optimizer_bytes = 0;    // Weights and moments.
  uint64_t table_bytes = 0;        // Chunk states, source pointers, queues, rings.

  // Chunks are padded to 64 bytes everywhere.
  uint64_t total_bytes() const {
    return slot_bytes + result_bytes + accumulator_bytes + optimizer_bytes + table_bytes;
  }
};

// by_reference: the fabric's trait (shm): no slots, no results.
MemoryPlan plan_memory(std::span<const TensorSpec> tensors, const ChunkMap& map,
                       uint32_t rank_count, bool by_reference);

}  // namespace phub::exchange
