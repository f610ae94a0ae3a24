// What all shards know about one epoch of one job; immutable while the epoch runs.
#pragma once

#include <phub/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/counter.h"
#include "base/memory.h"
#include "exchange/map.h"
#include "kernels/finish.h"

namespace phub::hub {

enum class JobId : uint32_t {};
constexpr uint32_t index_of(JobId job) { return static_cast<uint32_t>(job); }

// The hub's float32 state of one tensor. Outlives epochs: weights survive new tensors and lost
// ranks. Each chunk's part is written only by the shard that owns the chunk.
struct TensorState {
  TensorSpec spec;
  base::Mapping weights;
  base::Mapping first_moment;
  base::Mapping second_moment;
  std::vector<uint64_t> steps;  // Optimizer steps taken, per chunk of the tensor.

  static Result<std::shared_ptr<TensorState>> create(const TensorSpec& spec,
                                                     uint32_t chunk_elements);
  // The state of elements from `first` on.
  kernels::OptimizerState at(uint64_t first) const;
};

// Clipping by global norm needs every chunk's sum before any step. Shards put their chunks' squared
// norms here; the one that puts the last adds them in chunk order and opens phase two for all.
struct ClipState {
  explicit ClipState(uint32_t chunk_count) : norms(chunk_count), remaining(chunk_count) {}
  uint32_t total = 0;  // Chunks that take part.
  float limit = 0;
  std::vector<double> norms;              // Squared, per chunk of the map; 0 for the others.
  std::atomic<uint32_t> remaining;        // Of this step.
  std::atomic<uint32_t> opened_steps{0};  // Steps whose scale is known.
  float scale = 1;                        // Of the last opened step; published by opened_steps.
  std::function<void()> wake_all;         // Wakes the job's shards for phase two; from any thread.
};

// The factor that brings a gradient of the given squared norm to at most `limit`: PyTorch's
// clip_grad_norm_, limit / (norm + 1e-6), never above 1.
float clip_scale(double squared_norm, float limit);

// What one shard did for one job in one epoch; only that shard's thread writes it, so that it has a
// cache line of its own.
struct alignas(64) JobCounters {
  base::Counter rounds;  // Chunk rounds completed.
  base::Counter pushed_bytes, replied_bytes;
};

struct Epoch {
  JobId job = JobId{0};
  std::string job_name;
  uint32_t number = 0;
  uint32_t rank_count = 0;
  std::vector<TensorSpec> tensors;
  exchange::HubShape hubs;      // All hubs of the job; often this one alone.
  uint32_t hub = 0;             // This one among them,
  exchange::ShardRange shards;  // and its shards among those of the map.
  exchange::ChunkMap map;
  std::optional<StepSettings> settings;              // Rank 0's last of the epoch before.
  std::vector<std::shared_ptr<TensorState>> states;  // Per tensor; null without an optimizer.
  std::shared_ptr<ClipState> clip;                   // Null unless a tensor clips.
  mutable std::vector<JobCounters> counters;         // By shard of this hub.

  // Over all shards: sum(&JobCounters::rounds).
  uint64_t sum(base::Counter JobCounters::*counter) const {
    uint64_t total = 0;
    for (const JobCounters& of_shard : counters) total += (of_shard.*counter).get();
    return total;
  }
};

}  // namespace phub::hub
