// What a job costs the hub in memory, known before anything is allocated.
#pragma once

#include <phub/types.h>

#include <cstdint>
#include <span>

#include "exchange/map.h"

namespace phub::exchange {

struct MemoryPlan {
  uint64_t slot_bytes = 0;    // Input slots: ranks x model, on fabrics whose puts land at the hub.
  uint64_t result_bytes = 0;  // Two versions, on the same fabrics.
  uint64_t accumulator_bytes = 0;  // float32 (or wider) folds: over 8 ranks, or clipping.
  uint64_t optimizer_bytes = 0;    // Weights and moments.
  uint64_t table_bytes = 0;        // Chunk states, source pointers, queues, rings.

  uint64_t total_bytes() const {
    return slot_bytes + result_bytes + accumulator_bytes + optimizer_bytes + table_bytes;
  }
};

// by_reference: the fabric's trait (shm): no slots, no results.
MemoryPlan plan_memory(std::span<const TensorSpec> tensors, const ChunkMap& map,
                       uint32_t rank_count, bool by_reference);

}  // namespace phub::exchange
