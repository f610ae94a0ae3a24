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

// The tables. Per chunk: its line of the map; at its shard the constants, the state machine and the
// work queue; for every rank a summand. phub/shard_job.cc holds these numbers to what it allocates.
constexpr uint64_t kMapBytesPerChunk = sizeof(Chunk) + sizeof(uint32_t);
constexpr uint64_t kShardBytesPerChunk = 79;
constexpr uint64_t kShardBytesPerSource = 16;  // For each rank.
constexpr uint64_t kShardBytesPerBlock = 2;    // For each block of eight ranks.

// What the control thread holds, as measured: sessions, names and options, what passing them leaves
// behind in the heap, and the rest of the pages that the tables end in.
constexpr uint64_t kControlBytesPerJob = 140 << 10;
constexpr uint64_t kControlBytesPerRank = 8 << 10;
constexpr uint64_t kControlBytesPerTensor = 600;

struct MemoryPlan {
  uint64_t slot_bytes = 0;    // Input slots: ranks x model, on fabrics whose puts land at the hub.
  uint64_t result_bytes = 0;  // Two versions, on the same fabrics.
  uint64_t accumulator_bytes = 0;  // float32 (or wider) folds: over 8 ranks, or clipping.
  uint64_t optimizer_bytes = 0;    // Weights and moments.
  uint64_t table_bytes = 0;        // The map, chunk states, summands, queues.
  uint64_t link_bytes = 0;         // The fabric's: rings and tables of slots.
  uint64_t control_bytes = 0;      // Sessions, names, options.

  // Chunks are padded to 64 bytes everywhere.
  uint64_t total_bytes() const {
    return slot_bytes + result_bytes + accumulator_bytes + optimizer_bytes + table_bytes +
           link_bytes + control_bytes;
  }
};

// Of the hub with these shards. by_reference: the fabric's trait (shm): no slots, no results.
MemoryPlan plan_memory(std::span<const TensorSpec> tensors, const ChunkMap& map, ShardRange shards,
                       uint32_t rank_count, bool by_reference);

}  // namespace phub::exchange
