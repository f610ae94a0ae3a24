#include "exchange/memory_plan.h"

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

}  // namespace

MemoryPlan plan_memory(std::span<const TensorSpec> tensors, const ChunkMap& map,
                       uint32_t rank_count, bool by_reference) {
  MemoryPlan plan;
  for (const Chunk& chunk : map.chunks()) {
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
  for (const TensorSpec& tensor : tensors) {
    plan.optimizer_bytes += optimizer_arrays(tensor.optimizer.kind) *
                            base::align_up(tensor.count * sizeof(float), kPageBytes);
  }
  const uint64_t blocks = (rank_count + kRanksPerPass - 1) / kRanksPerPass;
  plan.table_bytes =
      map.chunks().size() * (kMapBytesPerChunk + kShardBytesPerChunk +
                             rank_count * kShardBytesPerSource + blocks * kShardBytesPerBlock);
  for (uint32_t shard = 0; shard < map.shard_count(); ++shard) {
    const uint32_t slots = static_cast<uint32_t>(map.chunks_of_shard(shard).size());
    plan.link_bytes += rank_count * transport::shm_link_bytes(slots, puts_max(slots));
  }
  plan.control_bytes = kControlBytesPerJob + rank_count * kControlBytesPerRank +
                       tensors.size() * kControlBytesPerTensor;
  return plan;
}

}  // namespace phub::exchange
