// A chunk's way from summands to replies: steps 5 to 7 of ARCHITECTURE.md's life of one chunk.
#include <bit>

#include "kernels/reduce.h"
#include "phub/shard.h"

namespace phub::hub {

void Shard::advance(ShardJob& job, uint32_t slot) {
  if (job.has_pulls(slot)) answer_pulls(job, slot);
  if (!job.states.is_open(slot)) return;
  if (job.verbs[slot] == exchange::Verb::push_pull) fold_ready_blocks(job, slot);
  if (!job.states.is_complete(slot)) return;
  const uint32_t version = (job.states.done_rounds(slot) + 1) & 1;
  if (job.is_borrowed(slot, version)) {
    return;  // A fabric still sends this version's last result; its `sent` brings the chunk back.
  }
  if (job.clips(slot) && job.verbs[slot] == exchange::Verb::push_pull) {
    return stage_norm(job, slot);
  }
  complete(job, slot, 1.0f);
}

// Folds every block that is ready and surely not the last: the last is left to the final pass.
void Shard::fold_ready_blocks(ShardJob& job, uint32_t slot) {
  if (job.states.block_count() == 1) return;
  const bool is_complete = job.states.is_complete(slot);
  const uint32_t end = is_complete ? job.states.last_block(slot) : job.states.block_count() - 1;
  while (job.states.next_block(slot) < end &&
         job.states.is_block_ready(slot, job.states.next_block(slot))) {
    fold_block(job, slot);
  }
}

void Shard::fold_block(ShardJob& job, uint32_t slot) {
  const uint32_t block = job.states.next_block(slot);
  const size_t count = gather_sources(job, slot, block);
  if (count > 0) {
    const bool carry = job.states.has_arrived_before(slot, block);
    const TensorSpec& spec = job.tensor_of(slot);
    kernels::fold(spec.type, spec.op, {sources_.data(), count}, carry, job.accumulator(slot),
                  job.chunks()[slot].elements);
    release_block(job, slot, block);
  }
  job.states.block_folded(slot);
}

size_t Shard::gather_sources(ShardJob& job, uint32_t slot, uint32_t block) {
  size_t count = 0;
  uint32_t bits = job.states.arrived_in_block(slot, block);
  while (bits != 0) {
    const uint32_t rank =
        block * ChunkStates::kBlockRanks + static_cast<uint32_t>(std::countr_zero(bits));
    bits &= bits - 1;
    sources_[count++] = job.source(slot, rank).data;
  }
  return count;
}

void Shard::release_block(ShardJob& job, uint32_t slot, uint32_t block) {
  uint32_t bits = job.states.arrived_in_block(slot, block);
  while (bits != 0) {
    const uint32_t rank =
        block * ChunkStates::kBlockRanks + static_cast<uint32_t>(std::countr_zero(bits));
    bits &= bits - 1;
    const Source& source = job.source(slot, rank);
    if (source.data == nullptr) continue;  // Empty summands were released on arrival.
    transport::Event event;
    event.link = job.links[rank].link;
    event.data = source.data;
    event.bytes = job.chunks()[slot].bytes;
    event.cookie = source.cookie;
    fabrics_[job.links[rank].fabric]->release(event);
  }
}

// Phase one of a clipped step: the whole sum into the accumulator, its norm to the other shards.
void Shard::stage_norm(ShardJob& job, uint32_t slot) {
  if (job.states.next_block(slot) >= job.states.block_count()) return;  // Staged already.
  while (job.states.next_block(slot) < job.states.block_count()) fold_block(job, slot);
  ClipState& clip = *job.epoch->clip;
  const OwnedChunk& chunk = job.chunks()[slot];
  const TensorSpec& spec = job.tensor_of(slot);
  float scale = job.settings(chunk.tensor, job.states.done_rounds(slot) + 1).gradient_scale;
  if (spec.op == ReduceOp::mean) scale /= static_cast<float>(job.states.arrived_count(slot));
  const float* const sum = reinterpret_cast<const float*>(job.accumulator(slot));
  clip.norms[chunk.chunk] = kernels::sum_of_squares(sum, scale, chunk.elements);
  job.clip_staged.push_back(slot);
  if (clip.remaining.fetch_sub(1, std::memory_order_acq_rel) != 1) return;

  double total = 0;
  for (const double norm : clip.norms) total += norm;  // In chunk order: the same on every run.
  clip.scale = clip_scale(total, clip.limit);
  clip.remaining.store(clip.total, std::memory_order_relaxed);
  clip.opened_steps.fetch_add(1, std::memory_order_release);
  clip.wake_all();
}

void Shard::complete(ShardJob& job, uint32_t slot, float clip_scale) {
  const uint32_t round = job.states.done_rounds(slot) + 1;
  if (job.verbs[slot] == exchange::Verb::broadcast) {
    if (!finish_broadcast(job, slot)) return;
  } else {
    finish_sum(job, slot, clip_scale);
  }
  // The sources of the final pass.
  for (uint32_t block = job.states.next_block(slot); block <= job.states.last_block(slot);
       ++block) {
    release_block(job, slot, block);
  }
  counters_.results.add(1);
  job.epoch->counters[index_].rounds.add(1);
  reply_to_contributors(job, slot, round);
  job.states.finish_round(slot);
}

void Shard::finish_sum(ShardJob& job, uint32_t slot, float clip_scale) {
  const OwnedChunk& chunk = job.chunks()[slot];
  const TensorSpec& spec = job.tensor_of(slot);
  const uint32_t round = job.states.done_rounds(slot) + 1;
  const StepSettings settings = job.settings(chunk.tensor, round);

  kernels::FinishInput input;
  input.type = spec.type;
  input.op = spec.op;
  // All blocks may be folded already: a clipped chunk's, or when the last block's ranks have left.
  const uint32_t last_block = job.states.last_block(slot);
  const size_t source_count =
      job.states.next_block(slot) <= last_block ? gather_sources(job, slot, last_block) : 0;
  input.sources = {sources_.data(), source_count};
  const bool has_fold = job.states.has_arrived_before(slot, job.states.next_block(slot));
  input.accumulator = has_fold ? job.accumulator(slot) : nullptr;
  input.contributor_count = job.states.arrived_count(slot);
  input.outputs = {outputs_.data(), gather_outputs(job, slot)};
  input.count = chunk.elements;
  input.stores = stores_;
  if (chunk.state.weights != nullptr) {
    uint64_t& steps = job.epoch->states[chunk.tensor]->steps[chunk.chunk_in_tensor];
    if (!settings.skip) ++steps;
    input.step.options = spec.optimizer;
    input.step.options.learning_rate = settings.learning_rate;
    input.step.gradient_scale = settings.gradient_scale * clip_scale;
    input.step.skip = settings.skip;
    input.step.step = steps;
    input.state = chunk.state;
  }
  kernels::finish(input);
}

// False, and the job is at fault, unless exactly one rank sent the data.
bool Shard::finish_broadcast(ShardJob& job, uint32_t slot) {
  const std::byte* data = nullptr;
  uint32_t root_count = 0;
  for (uint32_t rank = 0; rank < job.epoch->rank_count; ++rank) {
    if (!job.states.has_arrived(slot, rank) || job.source(slot, rank).data == nullptr) continue;
    data = job.source(slot, rank).data;
    ++root_count;
  }
  const OwnedChunk& chunk = job.chunks()[slot];
  if (root_count != 1) {
    fault(job, kNobody,
          "ranks disagree: " + std::to_string(root_count) +
              " ranks are the root of a broadcast of tensor \"" + job.tensor_of(slot).name +
              "\"; name the same root on every rank");
    return false;
  }
  kernels::copy_out(job.tensor_of(slot).type, data, {outputs_.data(), gather_outputs(job, slot)},
                    chunk.elements, stores_, chunk.state.weights);
  return true;
}

// Where the result goes: each contributor's window, and the result memory if somebody has none.
size_t Shard::gather_outputs(ShardJob& job, uint32_t slot) {
  size_t count = 0;
  bool is_result_needed = false;
  for (uint32_t rank = 0; rank < job.epoch->rank_count; ++rank) {
    const RankLink& link = job.links[rank];
    if (!job.states.has_arrived(slot, rank) || !link.is_open) continue;
    if (link.has_windows) {
      outputs_[count++] = fabrics_[link.fabric]->window(link.link, slot);
    } else {
      is_result_needed = true;
    }
  }
  if (is_result_needed) {
    outputs_[count++] = job.result(slot, (job.states.done_rounds(slot) + 1) & 1);
  }
  return count;
}

void Shard::reply_to_contributors(ShardJob& job, uint32_t slot, uint32_t round) {
  const uint32_t version = round & 1;
  for (uint32_t rank = 0; rank < job.epoch->rank_count; ++rank) {
    if (!job.states.has_arrived(slot, rank)) continue;
    reply(job, slot, rank, round, job.verbs[slot], job.result(slot, version), version);
  }
}

// Hands the hub's weights to the ranks that asked. They go out by way of the result memory of the
// round that is done; the open round's result goes to the other version.
void Shard::answer_pulls(ShardJob& job, uint32_t slot) {
  const uint32_t round = job.states.done_rounds(slot);
  const uint32_t version = round & 1;
  const OwnedChunk& chunk = job.chunks()[slot];
  std::byte* const result = job.result(slot, version);
  if (job.is_borrowed(slot, version)) return;  // `sent` brings us back.
  for (uint32_t rank = 0; rank < job.epoch->rank_count; ++rank) {
    if (!job.take_pull(slot, rank) || !job.links[rank].is_open) continue;
    const RankLink& link = job.links[rank];
    void* const output = link.has_windows ? fabrics_[link.fabric]->window(link.link, slot) : result;
    if (link.has_windows || !job.is_borrowed(slot, version)) {
      kernels::emit(job.tensor_of(slot).type, chunk.state.weights, {&output, 1}, chunk.elements,
                    stores_);
    }
    reply(job, slot, rank, round, exchange::Verb::pull, result, version);
  }
}

void Shard::reply(ShardJob& job, uint32_t slot, uint32_t rank, uint32_t round, exchange::Verb verb,
                  const std::byte* result, uint32_t version) {
  const RankLink& link = job.links[rank];
  if (!link.is_open) return;
  transport::Put put;
  put.link = link.link;
  put.slot = slot;
  put.tag = exchange::encode({verb, round, slot});
  put.bytes = job.chunks()[slot].bytes;
  put.data = link.has_windows ? fabrics_[link.fabric]->window(link.link, slot) : result;
  put.cookie = uint64_t{slot} << 1 | version;
  if (!link.has_windows) job.borrow(slot, version, rank);
  counters_.replied_bytes.add(put.bytes);
  job.epoch->counters[index_].replied_bytes.add(put.bytes);
  if (!job.backlog.empty()) {
    job.backlog.emplace_back(link.fabric, put);
    return;
  }
  replies_[link.fabric].push_back(put);
  if (replies_[link.fabric].size() == kReplyBatch) send_replies(link.fabric);
}

}  // namespace phub::hub
