#include "phub/shard_job.h"

#include <algorithm>

#include "base/try.h"
#include "exchange/memory_plan.h"
#include "kernels/reduce.h"

namespace phub::hub {
namespace {

// The memory plan counts these per chunk: keep it true when one of them changes.
static_assert(exchange::kShardBytesPerChunk ==
              sizeof(OwnedChunk) + ChunkStates::kBytesPerChunk + WorkQueue::kBytesPerChunk +
                  sizeof(exchange::Verb) + sizeof(int64_t) + sizeof(uint16_t));
static_assert(exchange::kShardBytesPerSource == sizeof(Source));

// Beyond so many, settings that no open round needs are dropped.
constexpr size_t kSettingsKept = 16;

std::vector<OwnedChunk> owned_chunks(const Epoch& epoch, uint32_t shard) {
  std::vector<OwnedChunk> owned;
  const std::span<const uint32_t> numbers = epoch.map.chunks_of_shard(epoch.shards.first + shard);
  owned.reserve(numbers.size());
  for (const uint32_t index : numbers) {
    const exchange::Chunk& chunk = epoch.map.chunks()[index];
    OwnedChunk entry;
    entry.tensor = chunk.tensor;
    entry.chunk = index;
    entry.chunk_in_tensor = index - epoch.map.chunks_of_tensor(chunk.tensor).first;
    entry.elements = chunk.element_count;
    entry.bytes =
        static_cast<uint32_t>(chunk.element_count * size_of(epoch.tensors[chunk.tensor].type));
    if (epoch.states[chunk.tensor] != nullptr) {
      entry.state = epoch.states[chunk.tensor]->at(chunk.first_element);
    }
    owned.push_back(entry);
  }
  return owned;
}

}  // namespace

Result<std::unique_ptr<ShardJob>> ShardJob::create(std::shared_ptr<const Epoch> epoch,
                                                   uint32_t shard, const LandingNeeds& needs) {
  std::vector<OwnedChunk> chunks = owned_chunks(*epoch, shard);
  std::vector<int32_t> priorities;
  priorities.reserve(chunks.size());
  for (const OwnedChunk& chunk : chunks) {
    priorities.push_back(epoch->tensors[chunk.tensor].priority);
  }
  std::unique_ptr<ShardJob> job(
      new ShardJob(std::move(epoch), shard, std::move(chunks), priorities));
  PHUB_TRY(job->allocate(needs));
  return job;
}

ShardJob::ShardJob(std::shared_ptr<const Epoch> epoch_in, uint32_t shard_in,
                   std::vector<OwnedChunk> chunks, std::span<const int32_t> priorities)
    : epoch(std::move(epoch_in)),
      shard(shard_in),
      states(static_cast<uint32_t>(chunks.size()), epoch->rank_count),
      work(priorities),
      links(epoch->rank_count),
      verbs(chunks.size()),
      opened_ns(chunks.size()),
      chunks_(std::move(chunks)),
      sources_(chunks_.size() * epoch->rank_count),
      pulls_(chunks_.size() * states.block_count()),
      pull_count_(chunks_.size()) {
  settings_.reserve(kSettingsKept + 1);
  backlog.reserve(kReplyBatch + 2 * epoch->rank_count);
}

Status ShardJob::allocate(const LandingNeeds& needs) {
  const bool has_many_ranks = epoch->rank_count > ChunkStates::kBlockRanks;
  if (has_many_ranks || epoch->clip != nullptr) {
    size_t accumulator_bytes = 0;
    accumulator_at_.reserve(chunk_count());
    for (uint32_t slot = 0; slot < chunk_count(); ++slot) {
      accumulator_at_.push_back(accumulator_bytes);
      if (!has_many_ranks && !clips(slot)) continue;
      accumulator_bytes +=
          base::align_up(chunks_[slot].elements * kernels::accumulator_size(tensor_of(slot).type),
                         base::kCacheLineBytes);
    }
    PHUB_TRY_ASSIGN(accumulators_, base::Mapping::anonymous(accumulator_bytes));
  }
  if (needs.slots || needs.results) {
    result_at_.reserve(chunk_count());
    for (uint32_t slot = 0; slot < chunk_count(); ++slot) {
      result_at_.push_back(result_bytes_);
      result_bytes_ += base::align_up(chunks_[slot].bytes, base::kCacheLineBytes);
    }
  }
  if (epoch->clip != nullptr) clip_staged.reserve(chunk_count());
  if (needs.slots) {
    PHUB_TRY_ASSIGN(slots_, base::Mapping::anonymous(result_bytes_ * epoch->rank_count));
  }
  if (needs.results) {
    PHUB_TRY_ASSIGN(results_, base::Mapping::anonymous(2 * result_bytes_));
    for (uint32_t version = 0; version < 2; ++version) {
      borrow_count_[version].resize(chunk_count());
      borrowers_[version].resize(size_t{chunk_count()} * states.block_count());
    }
  }
  return {};
}

std::vector<transport::Slot> ShardJob::slots_for(uint32_t rank) const {
  std::vector<transport::Slot> slots;
  slots.reserve(chunk_count());
  for (uint32_t slot = 0; slot < chunk_count(); ++slot) {
    std::byte* const data = slots_.data() == nullptr
                                ? nullptr
                                : slots_.data() + rank * result_bytes_ + result_at_[slot];
    slots.push_back({data, chunks_[slot].bytes});
  }
  return slots;
}

StepSettings ShardJob::settings(uint32_t tensor, uint32_t round) const {
  for (size_t i = settings_.size(); i-- > 0;) {
    if (settings_[i].first_rounds[tensor] <= round) return settings_[i].values;
  }
  if (epoch->settings.has_value()) return *epoch->settings;
  StepSettings defaults;
  defaults.learning_rate = epoch->tensors[tensor].optimizer.learning_rate;
  return defaults;
}

void ShardJob::add_settings(SettingsEntry entry) {
  settings_.push_back(std::move(entry));
  if (settings_.size() <= kSettingsKept) return;
  // Drops what is over for every tensor: a round that waits for a slow rank keeps its settings.
  std::vector<uint32_t> next_rounds(epoch->tensors.size(), UINT32_MAX);
  for (uint32_t slot = 0; slot < chunk_count(); ++slot) {
    uint32_t& next = next_rounds[chunks_[slot].tensor];
    next = std::min(next, states.done_rounds(slot) + 1);
  }
  size_t over = 0;
  while (over + 1 < settings_.size() &&
         std::equal(next_rounds.begin(), next_rounds.end(),
                    settings_[over + 1].first_rounds.begin(),
                    [](uint32_t next, uint32_t first) { return first <= next; })) {
    ++over;
  }
  settings_.erase(settings_.begin(), settings_.begin() + static_cast<std::ptrdiff_t>(over));
}

bool ShardJob::take_pull(uint32_t slot, uint32_t rank) {
  uint8_t& byte = pulls_[size_t{slot} * states.block_count() + rank / ChunkStates::kBlockRanks];
  const uint8_t bit = static_cast<uint8_t>(1u << rank % ChunkStates::kBlockRanks);
  if ((byte & bit) == 0) return false;
  byte &= static_cast<uint8_t>(~bit);
  --pull_count_[slot];
  return true;
}

void ShardJob::borrow(uint32_t slot, uint32_t version, uint32_t rank) {
  borrowers_[version][size_t{slot} * states.block_count() + rank / ChunkStates::kBlockRanks] |=
      static_cast<uint8_t>(1u << rank % ChunkStates::kBlockRanks);
  ++borrow_count_[version][slot];
}

void ShardJob::give_back(uint32_t slot, uint32_t version, uint32_t rank) {
  uint8_t& byte =
      borrowers_[version][size_t{slot} * states.block_count() + rank / ChunkStates::kBlockRanks];
  const uint8_t bit = static_cast<uint8_t>(1u << rank % ChunkStates::kBlockRanks);
  if ((byte & bit) == 0) return;
  byte &= static_cast<uint8_t>(~bit);
  if (--borrow_count_[version][slot] == 0) work.push(slot);
}

void ShardJob::give_back_all(uint32_t rank) {
  if (results_.data() == nullptr) return;
  for (uint32_t slot = 0; slot < chunk_count(); ++slot) {
    give_back(slot, 0, rank);
    give_back(slot, 1, rank);
  }
}

size_t ShardJob::allocated_bytes() const {
  return slots_.size() + results_.size() + accumulators_.size() + sources_.size() * sizeof(Source) +
         chunks_.size() * sizeof(OwnedChunk) + pulls_.size();
}

}  // namespace phub::hub
