// One job on one shard: the chunks that the shard owns, their states, their memory.
//
// Built on the shard's own thread, so that its memory is first touched on the shard's NUMA node.
// Everything is allocated here; a running job allocates nothing. Thread-safety: none; the owning
// shard's thread.
#pragma once

#include <phub/status.h>

#include <array>
#include <memory>
#include <vector>

#include "base/memory.h"
#include "exchange/wire.h"
#include "phub/chunk_state.h"
#include "phub/epoch.h"
#include "phub/work_queue.h"
#include "transport/fabric.h"

namespace phub::hub {

// What never changes about a chunk during an epoch, in the order of the shard's slots.
struct OwnedChunk {
  uint32_t tensor = 0;
  uint32_t chunk = 0;  // Of the map.
  uint32_t chunk_in_tensor = 0;
  uint32_t elements = 0;
  uint32_t bytes = 0;
  kernels::OptimizerState state;
};

// How the shard reaches a rank.
struct RankLink {
  uint32_t fabric = 0;  // Of the shard's fabrics.
  transport::LinkId link = transport::LinkId{0};
  bool is_open = false;
  bool has_windows = false;  // Results are written straight into the rank's memory.
};

// Most replies that are put at once.
constexpr size_t kReplyBatch = 64;

// A summand that has come and is not folded yet.
struct Source {
  const std::byte* data = nullptr;
  uint64_t cookie = 0;  // For Fabric::release.
};

// Settings from rank 0 and from when they hold.
struct SettingsEntry {
  StepSettings values;
  std::vector<uint32_t> first_rounds;  // Per tensor.
};

// Memory at the hub that a job needs for its fabrics' sake: slots where pushes land, unless every
// fabric is by_reference; results to send from, unless every fabric has windows.
struct LandingNeeds {
  bool slots = false;
  bool results = false;
};

class ShardJob {
 public:
  // shard: this hub's number of it. needs: what the ranks' fabrics cannot do without.
  // resource_exhausted: the machine refused the memory.
  static Result<std::unique_ptr<ShardJob>> create(std::shared_ptr<const Epoch> epoch,
                                                  uint32_t shard, const LandingNeeds& needs);

  uint32_t chunk_count() const { return static_cast<uint32_t>(chunks_.size()); }
  const TensorSpec& tensor_of(uint32_t slot) const { return epoch->tensors[chunks_[slot].tensor]; }
  bool has_optimizer(uint32_t slot) const { return chunks_[slot].state.weights != nullptr; }
  bool clips(uint32_t slot) const {
    return epoch->clip != nullptr && tensor_of(slot).optimizer.clip_global_norm > 0;
  }

  // Where rank's pushes land, for LinkOptions.
  std::vector<transport::Slot> slots_for(uint32_t rank) const;
  Source& source(uint32_t slot, uint32_t rank) {
    return sources_[size_t{slot} * epoch->rank_count + rank];
  }
  // Null when the job needs none.
  std::byte* accumulator(uint32_t slot) const {
    return accumulators_.data() == nullptr ? nullptr : accumulators_.data() + accumulator_at_[slot];
  }
  std::byte* result(uint32_t slot, uint32_t version) const {
    return results_.data() == nullptr
               ? nullptr
               : results_.data() + version * result_bytes_ + result_at_[slot];
  }

  std::span<std::byte> results() const { return results_.bytes(); }  // Empty when there are none.

  // The settings that hold for a round of a tensor.
  StepSettings settings(uint32_t tensor, uint32_t round) const;
  void add_settings(SettingsEntry entry);

  // Ranks that wait for the hub's weights of a chunk.
  void add_pull(uint32_t slot, uint32_t rank) {
    uint8_t& byte = pulls_[size_t{slot} * states.block_count() + rank / ChunkStates::kBlockRanks];
    const uint8_t bit = static_cast<uint8_t>(1u << rank % ChunkStates::kBlockRanks);
    if ((byte & bit) == 0) ++pull_count_[slot];
    byte |= bit;
  }
  bool has_pulls(uint32_t slot) const { return pull_count_[slot] != 0; }
  bool take_pull(uint32_t slot, uint32_t rank);

  // Puts that still borrow a version of a chunk's result.
  bool is_borrowed(uint32_t slot, uint32_t version) const {
    return results_.data() != nullptr && borrow_count_[version][slot] != 0;
  }
  void borrow(uint32_t slot, uint32_t version, uint32_t rank);
  void give_back(uint32_t slot, uint32_t version, uint32_t rank);  // Queues the chunk on the last.
  void give_back_all(uint32_t rank);                               // Its link has closed.

  // Bytes that this object took from the machine, to hold against the memory plan.
  size_t allocated_bytes() const;

  const std::shared_ptr<const Epoch> epoch;
  const uint32_t shard;
  ChunkStates states;
  WorkQueue work;
  std::vector<RankLink> links;        // By rank.
  std::vector<exchange::Verb> verbs;  // Of the open round, by slot.
  std::vector<int64_t> opened_ns;     // When the open round's first push came.
  std::vector<uint32_t> clip_staged;  // Slots whose norm is in and step is not done.
  uint32_t clip_steps = 0;            // Steps of ClipState that this shard has done.
  bool is_running = false;            // All links accepted.
  // Puts that found their fabric full, by fabric; until they are gone the job does not advance.
  std::vector<std::pair<uint32_t, transport::Put>> backlog;

  std::span<const OwnedChunk> chunks() const { return chunks_; }

 private:
  ShardJob(std::shared_ptr<const Epoch> epoch, uint32_t shard, std::vector<OwnedChunk> chunks,
           std::span<const int32_t> priorities);
  Status allocate(const LandingNeeds& needs);

  std::vector<OwnedChunk> chunks_;
  std::vector<Source> sources_;
  std::vector<uint8_t> pulls_;
  std::vector<uint16_t> pull_count_;
  std::array<std::vector<uint16_t>, 2> borrow_count_;  // By version, then slot.
  std::array<std::vector<uint8_t>, 2> borrowers_;      // By version; a bit per slot and rank.
  std::vector<SettingsEntry> settings_;
  base::Mapping slots_;
  base::Mapping results_;
  base::Mapping accumulators_;
  std::vector<size_t> result_at_;  // Also the chunk's place within one rank's slots.
  std::vector<size_t> accumulator_at_;
  size_t result_bytes_ = 0;
};

}  // namespace phub::hub
