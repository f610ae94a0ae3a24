#include "phub/shard.h"

#include <algorithm>

#include "base/try.h"

namespace phub::hub {
namespace {

constexpr size_t kEventBatch = 64;
// What one job may advance in a poll: enough chunks to pay for the fences, few enough bytes for
// the other jobs and for workers that copy results out.
constexpr size_t kAdvancesPerPoll = 64;
constexpr size_t kAdvancedBytesPerPoll = 256 << 10;

}  // namespace

Shard::Shard(uint32_t index, std::vector<std::unique_ptr<transport::Fabric>> fabrics,
             kernels::Stores stores, std::function<void(RankFault)> on_fault)
    : index_(index),
      fabrics_(std::move(fabrics)),
      stores_(stores),
      on_fault_(std::move(on_fault)),
      owners_(fabrics_.size()),
      replies_(fabrics_.size()) {
  for (std::vector<transport::Put>& replies : replies_) replies.reserve(kReplyBatch);
}

size_t Shard::poll(base::Instant now) {
  now_ = now;
  size_t work = tasks_.run();
  std::array<transport::Event, kEventBatch> events;
  for (uint32_t i = 0; i < fabrics_.size(); ++i) {
    const size_t count = fabrics_[i]->poll(now, events);
    for (size_t e = 0; e < count; ++e) on_event(i, events[e]);
    work += count;
  }
  work += advance_jobs();
  for (uint32_t i = 0; i < fabrics_.size(); ++i) send_replies(i);
  counters_.polls.add(1);
  if (work == 0) counters_.idle_polls.add(1);
  return work;
}

void Shard::on_event(uint32_t fabric, const transport::Event& event) {
  const uint32_t link = transport::index_of(event.link);
  if (link >= owners_[fabric].size() || owners_[fabric][link].job == nullptr) {
    if (event.kind == transport::EventKind::arrived) fabrics_[fabric]->release(event);
    return;  // A job that has just been removed.
  }
  const LinkOwner owner = owners_[fabric][link];
  switch (event.kind) {
    case transport::EventKind::arrived:
      on_arrived(fabric, owner, event);
      break;
    case transport::EventKind::sent: {
      const uint32_t slot = static_cast<uint32_t>(event.cookie >> 1);
      owner.job->give_back(slot, event.cookie & 1, owner.rank);
      break;
    }
    case transport::EventKind::lost:
      fail(*owner.job, owner.rank, true, fabrics_[fabric]->lost_reason(event.link));
      break;
  }
}

void Shard::on_arrived(uint32_t fabric, const LinkOwner& owner, const transport::Event& event) {
  ShardJob& job = *owner.job;
  if (!job.is_running) return fabrics_[fabric]->release(event);  // At fault; about to be removed.
  const exchange::Tag tag = exchange::decode(event.tag);
  const bool is_known = static_cast<uint32_t>(tag.verb) < exchange::kVerbCount;
  if (!is_known || tag.slot >= job.chunk_count()) {
    fabrics_[fabric]->release(event);
    fault(job, owner.rank,
          "it sent a tag that makes no sense here: verb " +
              std::to_string(static_cast<uint32_t>(tag.verb)) + ", slot " +
              std::to_string(tag.slot) + " of " + std::to_string(job.chunk_count()));
    return;
  }
  if (tag.verb != exchange::Verb::pull) return on_summand(fabric, owner, event, tag);
  fabrics_[fabric]->release(event);
  if (!job.has_optimizer(tag.slot)) {
    return fault(job, owner.rank,
                 "it pulled weights of tensor \"" + job.tensor_of(tag.slot).name +
                     "\", for which the hub holds none");
  }
  job.add_pull(tag.slot, owner.rank);
  job.work.push(tag.slot);
}

void Shard::on_summand(uint32_t fabric, const LinkOwner& owner, const transport::Event& event,
                       exchange::Tag tag) {
  ShardJob& job = *owner.job;
  const uint32_t bytes = job.chunks()[tag.slot].bytes;
  const bool may_be_empty = tag.verb == exchange::Verb::broadcast;
  if (event.bytes != bytes && !(may_be_empty && event.bytes == 0)) {
    fabrics_[fabric]->release(event);
    return fault(job, owner.rank,
                 "it sent " + std::to_string(event.bytes) + " bytes for a chunk of " +
                     std::to_string(bytes) + " bytes of tensor \"" + job.tensor_of(tag.slot).name +
                     "\"");
  }
  const bool was_open = job.states.is_open(tag.slot);
  switch (job.states.on_push(tag.slot, owner.rank, tag.round)) {
    case Verdict::accepted:
      break;
    case Verdict::duplicate:
      fabrics_[fabric]->release(event);
      return counters_.duplicates.add(1);
    case Verdict::stale:
      fabrics_[fabric]->release(event);
      return counters_.stale.add(1);
    case Verdict::invalid:
      fabrics_[fabric]->release(event);
      return fault(job, owner.rank,
                   "it sent round " + std::to_string(tag.round) + " (modulo 16) of tensor \"" +
                       job.tensor_of(tag.slot).name + "\" after round " +
                       std::to_string(job.states.done_rounds(tag.slot)));
  }
  counters_.pushes.add(1);
  counters_.pushed_bytes.add(event.bytes);
  job.epoch->counters[index_].pushed_bytes.add(event.bytes);
  job.source(tag.slot, owner.rank) = {event.bytes == 0 ? nullptr : event.data, event.cookie};
  if (event.bytes == 0) fabrics_[fabric]->release(event);
  if (!was_open) {
    job.verbs[tag.slot] = tag.verb;
    job.opened_ns[tag.slot] = now_.ns;
  } else if (job.verbs[tag.slot] != tag.verb) {
    return fault(job, owner.rank,
                 "ranks disagree: it called " +
                     std::string(may_be_empty ? "broadcast" : "push_pull") + " on tensor \"" +
                     job.tensor_of(tag.slot).name + "\" while another rank called the other");
  }
  const uint32_t block = job.states.next_block(tag.slot);
  if (job.states.is_complete(tag.slot) || job.states.is_block_ready(tag.slot, block)) {
    job.work.push(tag.slot);
  }
}

void Shard::fault(ShardJob& job, uint32_t rank, std::string reason) {
  counters_.malformed.add(1);
  fail(job, rank, false, std::move(reason));
}

void Shard::fail(ShardJob& job, uint32_t rank, bool is_lost, std::string reason) {
  if (!job.is_running) return;
  job.is_running = false;  // Nothing of the job moves until control has removed it.
  on_fault_({job.epoch->job, job.epoch->number, rank, is_lost, std::move(reason)});
}

size_t Shard::advance_jobs() {
  size_t advanced = 0;
  for (size_t i = 0; i < jobs_.size(); ++i) {  // Every job in turn: none starves the others.
    if (++next_job_ >= jobs_.size()) next_job_ = 0;
    ShardJob& job = *jobs_[next_job_];
    if (!job.backlog.empty()) flush_backlog(job);
    if (job.epoch->clip != nullptr) open_clip_step(job);
    size_t bytes = 0;
    for (size_t k = 0; k < kAdvancesPerPoll && bytes < kAdvancedBytesPerPoll; ++k) {
      if (job.work.empty() || !job.is_running || !job.backlog.empty()) break;
      const uint32_t slot = job.work.pop();
      advance(job, slot);
      bytes += job.chunks()[slot].bytes;
      ++advanced;
    }
  }
  return advanced;
}

void Shard::open_clip_step(ShardJob& job) {
  const ClipState& clip = *job.epoch->clip;
  if (clip.opened_steps.load(std::memory_order_acquire) == job.clip_steps) return;
  // Whoever has staged nothing does not look at the scale: the others may be a step ahead.
  size_t done = 0;
  while (done < job.clip_staged.size() && job.backlog.empty()) {
    complete(job, job.clip_staged[done++], clip.scale);
  }
  job.clip_staged.erase(job.clip_staged.begin(),
                        job.clip_staged.begin() + static_cast<std::ptrdiff_t>(done));
  if (job.clip_staged.empty()) ++job.clip_steps;
}

// Whom the fabric has no room for is put into his job's backlog.
void Shard::send_replies(uint32_t fabric) {
  std::span<const transport::Put> puts = replies_[fabric];
  if (puts.empty()) return;
  kernels::fence(stores_);
  while (true) {
    puts = puts.subspan(fabrics_[fabric]->put(puts));
    if (puts.empty()) break;
    const transport::Put& refused = puts.front();
    ShardJob* const job = owners_[fabric][transport::index_of(refused.link)].job;
    job->backlog.emplace_back(fabric, refused);
    puts = puts.subspan(1);
  }
  replies_[fabric].clear();
}

// A job whose rank takes no results stalls, and nobody else does.
void Shard::flush_backlog(ShardJob& job) {
  kernels::fence(stores_);  // A put publishes all that is staged, releases of results included.
  size_t kept = 0;
  for (auto& [fabric, put] : job.backlog) {
    if (fabrics_[fabric]->put({&put, 1}) == 0) job.backlog[kept++] = {fabric, put};
  }
  job.backlog.resize(kept);
}

}  // namespace phub::hub
