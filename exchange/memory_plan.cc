#include "exchange/memory_plan.h"

#include <vector>

#include "base/memory.h"
#include "exchange/wire.h"
#include "transport/shm_layout.h"

namespace phub::exchange {
namespace {

constexpr uint64_t padded(uint64_t bytes) { return base::align_up(bytes, base::kCacheLineBytes); }

constexpr uint64_t kPageBytes = 4096;  // Each array is a mapping of its own.

// Float32 arrays that the optimizer keeps per tensor: weights, then moments.
uint64_t optimizer_arrays(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::none:
      return 0;
    case OptimizerKind::sgd:
      return 1;
    case OptimizerKind::momentum:
    case OptimizerKind::nesterov:
      return 2;
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return 3;
  }
  return 0;
}

// Of each tensor, the elements in the hub's chunks. The optimizer's arrays are as long as the
// tensor, but only what is touched becomes memory.
std::vector<uint64_t> elements_held(std::span<const TensorSpec> tensors, const ChunkMap& map,
                                    ShardRange shards) {
  std::vector<uint64_t> held(tensors.size());
  for (uint32_t shard = shards.first; shard < shards.first + shards.count; ++shard) {
    for (const uint32_t number : map.chunks_of_shard(shard)) {
      const Chunk& chunk = map.chunks()[number];
      held[chunk.tensor] += chunk.element_count;
    }
  }
  return held;
}

}  // namespace

MemoryPlan plan_memory(std::span<const TensorSpec> tensors, const ChunkMap& map, ShardRange shards,
                       uint32_t rank_count, bool by_reference) {
  MemoryPlan plan;
  uint64_t chunk_count = 0;
  for (uint32_t shard = shards.first; shard < shards.first + shards.count; ++shard) {
    const auto slots = static_cast<uint32_t>(map.chunks_of_shard(shard).size());
    chunk_count += slots;
    plan.link_bytes += rank_count * transport::shm_link_bytes(slots, puts_max(slots));
    for (const uint32_t number : map.chunks_of_shard(shard)) {
      const Chunk& chunk = map.chunks()[number];
      const TensorSpec& tensor = tensors[chunk.tensor];
      const uint64_t chunk_bytes = padded(chunk.element_count * uint64_t{size_of(tensor.type)});
      if (!by_reference) {
        plan.slot_bytes += rank_count * chunk_bytes;
        plan.result_bytes += kResultVersions * chunk_bytes;
      }
      if (rank_count > kRanksPerPass || tensor.optimizer.clip_global_norm > 0) {
        const uint64_t element_bytes = size_of(tensor.type) == 8 ? 8 : 4;
        plan.accumulator_bytes += padded(chunk.element_count * element_bytes);
      }
    }
  }
  const std::vector<uint64_t> held = elements_held(tensors, map, shards);
  for (size_t t = 0; t < tensors.size(); ++t) {
    plan.optimizer_bytes += optimizer_arrays(tensors[t].optimizer.kind) *
                            base::align_up(held[t] * sizeof(float), kPageBytes);
  }
  const uint64_t blocks = (rank_count + kRanksPerPass - 1) / kRanksPerPass;
  plan.table_bytes = map.chunks().size() * kMapBytesPerChunk +
                     chunk_count * (kShardBytesPerChunk + rank_count * kShardBytesPerSource +
                                    blocks * kShardBytesPerBlock);
  plan.control_bytes = kControlBytesPerJob + rank_count * kControlBytesPerRank +
                       tensors.size() * kControlBytesPerTensor;
  return plan;
}

}  // namespace phub::exchange
