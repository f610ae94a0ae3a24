// How jobs come to a shard and leave it: the control side of shard.h.
#include <algorithm>

#include "base/try.h"
#include "exchange/rails.h"
#include "phub/shard.h"

namespace phub::hub {

Result<std::vector<transport::Bootstrap>> Shard::install(std::shared_ptr<const Epoch> epoch,
                                                         std::span<const uint32_t> fabric_of_rank) {
  PHUB_CHECK(find(epoch->job) == nullptr);
  LandingNeeds needs;
  for (const uint32_t index : fabric_of_rank) {
    if (index == kNoFabric) continue;
    needs.slots |= !fabrics_[index]->traits().by_reference;
    needs.results |= !fabrics_[index]->traits().windows;
  }
  const uint32_t rank_count = epoch->rank_count;
  PHUB_TRY_ASSIGN(std::unique_ptr<ShardJob> job, ShardJob::create(std::move(epoch), index_, needs));

  std::vector<transport::Bootstrap> offers(rank_count);
  jobs_.push_back(std::move(job));
  ShardJob& installed = *jobs_.back();
  counters_.chunks_owned.add(installed.chunk_count());
  const uint64_t domain = index_of(installed.epoch->job);
  if (!installed.results().empty()) {
    for (const std::unique_ptr<transport::Fabric>& fabric : fabrics_) {
      Status status = fabric->register_memory(installed.results(), domain);
      if (!status.ok()) {
        remove(installed.epoch->job);
        return status;
      }
    }
  }
  // The map's NICs are RDMA devices; other networks do not go by them.
  const std::vector<uint8_t> rails = exchange::rails_of_shard(
      installed.epoch->map, installed.epoch->hubs, installed.epoch->shards.first + index_);
  for (uint32_t rank = 0; rank < rank_count; ++rank) {
    RankLink& link = installed.links[rank];
    if (fabric_of_rank[rank] == kNoFabric) {
      installed.states.remove_rank(rank);
      continue;
    }
    link.fabric = fabric_of_rank[rank];
    transport::Fabric& fabric = *fabrics_[link.fabric];
    transport::LinkOptions options;
    options.slots = installed.slots_for(rank);
    options.peer_slot_count = installed.chunk_count();
    options.peer_slot_bytes.reserve(options.slots.size());
    for (const transport::Slot& slot : options.slots) options.peer_slot_bytes.push_back(slot.bytes);
    options.acceptor_puts_max = exchange::puts_max(installed.chunk_count());
    options.connector_puts_max = exchange::puts_max(installed.chunk_count());
    options.tag_slot_mask = exchange::kSlotCountMax - 1;
    options.domain = domain;
    options.peer = "rank " + std::to_string(rank) + " of job \"" + installed.epoch->job_name + "\"";
    if (fabric.name() == "verbs") options.rails = rails;
    Result<transport::LinkId> id = fabric.open(options, &offers[rank]);
    if (!id.ok()) {
      remove(installed.epoch->job);
      return id.status().with_context("open the link to rank " + std::to_string(rank));
    }
    link.link = *id;
    link.is_open = true;
    link.has_windows = fabric.traits().windows;
    std::vector<LinkOwner>& owners = owners_[link.fabric];
    const uint32_t index = transport::index_of(*id);
    if (owners.size() <= index) owners.resize(index + 1);
    owners[index] = {&installed, rank};
  }
  return offers;
}

Status Shard::accept(JobId job_id, uint32_t rank, transport::Bootstrap answer) {
  ShardJob* const job = find(job_id);
  if (job == nullptr) return Status(Code::aborted, "the job is gone");
  RankLink& link = job->links[rank];
  if (!link.is_open) return Status(Code::aborted, "the rank has left");
  const Status status = fabrics_[link.fabric]->accept(link.link, std::move(answer));
  if (!status.ok()) {  // The fabric has closed it: its number may be another's by now.
    owners_[link.fabric][transport::index_of(link.link)] = {};
    link.is_open = false;
  }
  return status;
}

void Shard::start(JobId job) {
  if (ShardJob* const found = find(job)) found->is_running = true;
}

void Shard::remove(JobId job_id) {
  ShardJob* const job = find(job_id);
  if (job == nullptr) return;
  for (const RankLink& link : job->links) {
    if (!link.is_open) continue;
    owners_[link.fabric][transport::index_of(link.link)] = {};
    fabrics_[link.fabric]->close(link.link);
  }
  if (!job->results().empty()) {
    for (const std::unique_ptr<transport::Fabric>& fabric : fabrics_) {
      fabric->deregister_memory(job->results());
    }
  }
  counters_.chunks_owned.add(uint64_t{0} - job->chunk_count());
  std::erase_if(jobs_, [&](const std::unique_ptr<ShardJob>& entry) { return entry.get() == job; });
  next_job_ = 0;
}

void Shard::remove_rank(JobId job_id, uint32_t rank) {
  ShardJob* const job = find(job_id);
  if (job == nullptr || !job->links[rank].is_open) return;
  for (uint32_t slot = 0; slot < job->chunk_count(); ++slot) {
    if (!job->states.is_open(slot) || !job->states.has_arrived(slot, rank)) continue;
    // Its summand may lie in its own memory, which goes with the link.
    return fault(*job, rank,
                 "it left before the round of tensor \"" + job->tensor_of(slot).name +
                     "\" that it had pushed was over");
  }
  job->states.remove_rank(rank);
  RankLink& link = job->links[rank];
  owners_[link.fabric][transport::index_of(link.link)] = {};
  fabrics_[link.fabric]->close(link.link);
  std::erase_if(job->backlog, [&](const auto& entry) {
    return entry.first == link.fabric && entry.second.link == link.link;
  });
  link.is_open = false;
  job->give_back_all(rank);
  for (uint32_t slot = 0; slot < job->chunk_count(); ++slot) {
    if (job->states.is_open(slot) && job->states.is_complete(slot)) job->work.push(slot);
  }
}

void Shard::add_settings(JobId job_id, SettingsEntry entry) {
  if (ShardJob* const job = find(job_id)) job->add_settings(std::move(entry));
}

ShardJob* Shard::find(JobId job) {
  for (const std::unique_ptr<ShardJob>& entry : jobs_) {
    if (entry->epoch->job == job) return entry.get();
  }
  return nullptr;
}

std::vector<LateSnapshot> Shard::late(JobId job_id) const {
  std::vector<LateSnapshot> late;
  for (const std::unique_ptr<ShardJob>& job : jobs_) {
    if (job->epoch->job != job_id) continue;
    for (uint32_t slot = 0; slot < job->chunk_count(); ++slot) {
      if (!job->states.is_open(slot) || job->states.is_complete(slot)) continue;
      LateSnapshot entry;
      entry.tensor = job->chunks()[slot].tensor;
      entry.tensor_name = job->tensor_of(slot).name;
      entry.round = job->states.done_rounds(slot) + 1;
      entry.since_seconds = static_cast<double>(now_.ns - job->opened_ns[slot]) * 1e-9;
      for (uint32_t rank = 0; rank < job->epoch->rank_count; ++rank) {
        if (job->states.is_active(rank) && !job->states.has_arrived(slot, rank)) {
          entry.missing_ranks.push_back(rank);
        }
      }
      late.push_back(std::move(entry));
    }
  }
  return late;
}

}  // namespace phub::hub
