// How ranks agree on tensors and get their links: tensors, offer, answer, start ("init service").
#include <malloc.h>

#include <algorithm>

#include "base/log.h"
#include "base/try.h"
#include "phub/control.h"
#include "transport/tls_session.h"

namespace phub::hub {
namespace {

struct Installed {
  Status status;
  std::vector<transport::Bootstrap> offers;  // By rank.
};

}  // namespace

void Control::on_tensors(SessionId id, Session& session, exchange::Tensors tensors) {
  Job& job = *find(session.job);
  const Status proposed = propose(job, session.rank, std::move(tensors));
  if (!proposed.ok()) {
    return refuse(id, proposed);
  }
  begin_epoch_if_agreed(job);
}

Status Control::propose(Job& job, uint32_t rank, exchange::Tensors tensors) {
  Member& member = job.members[rank];
  if (tensors.epoch != job.epoch_number + 1 || member.has_proposed ||
      job.state == JobState::connecting) {
    return Status(Code::failed_precondition,
                  "tensors for epoch " + std::to_string(tensors.epoch) + " came while job \"" +
                      job.spec.name + "\" is in epoch " + std::to_string(job.epoch_number));
  }
  if (tensors.hubs.shards.empty()) tensors.hubs = options_.shape;  // It is the only one.
  if (job.proposal.empty()) {
    PHUB_TRY(check_hubs(tensors));
    PHUB_TRY(check_map_size(job, tensors.table));
    PHUB_TRY(check_clip(tensors.table, exchange::hub_count(tensors.hubs)));
    PHUB_TRY_ASSIGN(job.proposed_map, exchange::ChunkMap::build(
                                          tensors.table, job.spec.chunk_elements, tensors.hubs));
    PHUB_TRY(job.proposed_map.verify(tensors.table));
    job.proposal = std::move(tensors.table);
    job.proposed_hubs = std::move(tensors.hubs);
    job.proposed_hub = tensors.hub;
    if (job.state == JobState::running) job.waiting_since = now_;
    job.proposer = rank;
  } else {
    PHUB_TRY(compare_proposals(job, rank, tensors));
  }
  if (tensors.digest != job.proposed_map.digest()) {
    return Status(Code::internal,
                  "the worker's chunk map is not the hub's: different versions of PHub?");
  }
  member.has_proposed = true;
  return {};
}

// Every hub is told all hubs' shapes by workers; its own it knows.
Status Control::check_hubs(const exchange::Tensors& tensors) const {
  if (exchange::part_of(tensors.hubs, tensors.hub) == options_.shape) return {};
  const exchange::ShardRange said = exchange::shards_of(tensors.hubs, tensors.hub);
  return Status(Code::internal, "the worker says that hub " + std::to_string(tensors.hub) +
                                    " of the job, this one, has " + std::to_string(said.count) +
                                    " shards, placed otherwise than its " +
                                    std::to_string(options_.shape.shards.size()) +
                                    ": was the hub started anew meanwhile? connect again");
}

Status Control::compare_proposals(const Job& job, uint32_t rank,
                                  const exchange::Tensors& tensors) const {
  if (tensors.hub != job.proposed_hub || tensors.hubs != job.proposed_hubs) {
    return Status(Code::invalid_argument,
                  "ranks disagree on the hubs of job \"" + job.spec.name +
                      "\": this one is number " + std::to_string(tensors.hub) + " of " +
                      std::to_string(exchange::hub_count(tensors.hubs)) + " for rank " +
                      std::to_string(rank) + " and number " + std::to_string(job.proposed_hub) +
                      " of " + std::to_string(exchange::hub_count(job.proposed_hubs)) +
                      " for rank " + std::to_string(job.proposer) +
                      "; list the same hubs in the same order on every rank");
  }
  const std::string difference = table_difference(tensors.table, rank, job.proposal, job.proposer);
  if (difference.empty()) return {};
  return Status(Code::invalid_argument, "ranks disagree on the tensors of job \"" + job.spec.name +
                                            "\": " + difference +
                                            "; register the same tensors on every rank");
}

Status Control::check_clip(std::span<const TensorSpec> table, uint32_t hub_count) const {
  float limit = 0;
  for (const TensorSpec& tensor : table) {
    const float clip = tensor.optimizer.clip_global_norm;
    if (clip == 0) continue;
    if (hub_count > 1) {
      return Status(Code::unimplemented,
                    "tensor \"" + tensor.name + "\": clip_global_norm needs the norms of all " +
                        "chunks at one hub, but the job has " + std::to_string(hub_count) +
                        "; use one hub, or clip in the trainer");
    }
    if (limit != 0 && clip != limit) {
      return Status(Code::invalid_argument,
                    "tensor \"" + tensor.name + "\": clip_global_norm " + std::to_string(clip) +
                        ", but an earlier tensor has " + std::to_string(limit) +
                        "; the norm is the job's: use one limit");
    }
    limit = clip;
  }
  return {};
}

void Control::begin_epoch_if_agreed(Job& job) {
  if (job.is_removing || job.proposal.empty() || job.state == JobState::connecting) return;
  if (!job.missing_proposals().empty()) return;
  Result<std::shared_ptr<const Epoch>> epoch = make_epoch(job);
  if (!epoch.ok()) return fail_job(job, kNobody, epoch.status());
  job.epoch = std::move(epoch).value();
  job.proposal.clear();
  job.state = JobState::connecting;
  job.waiting_since = now_;
  job.epoch_number = job.epoch->number;
  job.answers_missing = 0;
  for (Member& member : job.members) {
    member.has_proposed = false;
    member.has_answered = false;
    if (member.state != RankState::left) ++job.answers_missing;
  }
  install(job);
}

Result<std::shared_ptr<const Epoch>> Control::make_epoch(Job& job) {
  auto epoch = std::make_shared<Epoch>();
  epoch->job = job.id;
  epoch->job_name = job.spec.name;
  epoch->number = job.epoch_number + 1;
  epoch->rank_count = job.spec.rank_count;
  epoch->counters = std::vector<JobCounters>(shards_.size());
  epoch->hubs = job.proposed_hubs;
  epoch->hub = job.proposed_hub;
  epoch->shards = exchange::shards_of(epoch->hubs, epoch->hub);
  epoch->tensors = job.proposal;
  epoch->settings = job.settings;
  epoch->map = std::move(job.proposed_map);

  const bool by_reference =
      std::all_of(job.members.begin(), job.members.end(), [this](const Member& member) {
        const transport::Traits traits = shards_[0]->fabric(member.fabric).traits();
        return traits.by_reference && traits.windows;
      });
  exchange::MemoryPlan plan = exchange::plan_memory(epoch->tensors, epoch->map, epoch->shards,
                                                    epoch->rank_count, by_reference);
  plan.link_bytes += tls_link_count(job) * transport::kTlsStreamBytes;
  const uint64_t limit = memory_left(job);
  if (plan.total_bytes() > limit) {
    return Status(Code::resource_exhausted,
                  "job \"" + job.spec.name + "\" needs " + std::to_string(plan.total_bytes()) +
                      " bytes of the hub's memory, but may take " + std::to_string(limit) +
                      "; raise --job-memory-limit or --memory-limit, or end another job");
  }
  PHUB_TRY(make_states(job, *epoch));
  job.memory = plan;
  return std::shared_ptr<const Epoch>(std::move(epoch));
}

// What the job may take of the hub's memory, what it has now included. A limit may have been
// lowered below what is in use.
uint64_t Control::memory_left(const Job& job) const {
  const uint64_t used = memory_used() - job.memory.total_bytes();
  const uint64_t of_all = options_.memory_limit_bytes - std::min(used, options_.memory_limit_bytes);
  return std::min(options_.job_memory_limit_bytes, of_all);
}

uint64_t Control::tls_link_count(const Job& job) const {
  const auto ranks = std::count_if(job.members.begin(), job.members.end(), [&](const Member& one) {
    return one.state != RankState::left && options_.fabric_names[one.fabric] == "tls";
  });
  return static_cast<uint64_t>(ranks) * shards_.size();
}

// A table's map alone must fit: it is built before anything else is known. The table is a peer's.
Status Control::check_map_size(const Job& job, std::span<const TensorSpec> table) const {
  uint64_t chunks = 0;
  for (const TensorSpec& tensor : table) chunks += tensor.count / job.spec.chunk_elements + 1;
  const uint64_t bytes = chunks * exchange::kMapBytesPerChunk;
  const uint64_t limit = memory_left(job);
  if (bytes <= limit) return {};
  return Status(Code::resource_exhausted,
                "job \"" + job.spec.name + "\": a map of " + std::to_string(chunks) +
                    " chunks needs " + std::to_string(bytes) + " bytes, but the job may take " +
                    std::to_string(limit) + "; use larger chunks, or raise --job-memory-limit");
}

// Weights of tensors that were there before stay; others start at zero.
Status Control::make_states(Job& job, Epoch& epoch) {
  for (const TensorSpec& spec : epoch.tensors) {
    std::shared_ptr<TensorState> state;
    if (spec.optimizer.kind != OptimizerKind::none) {
      for (const std::shared_ptr<TensorState>& old : job.states) {
        if (old->spec.name == spec.name && old->spec.count == spec.count &&
            old->spec.optimizer.kind == spec.optimizer.kind) {
          state = old;
        }
      }
      if (state == nullptr) {
        PHUB_TRY_ASSIGN(state, TensorState::create(spec, job.spec.chunk_elements));
      }
    }
    epoch.states.push_back(std::move(state));
  }
  job.states.clear();
  for (const std::shared_ptr<TensorState>& state : epoch.states) {
    if (state != nullptr) job.states.push_back(state);
  }
  uint32_t clipped_chunks = 0;
  float limit = 0;
  for (const exchange::Chunk& chunk : epoch.map.chunks()) {
    const float clip = epoch.tensors[chunk.tensor].optimizer.clip_global_norm;
    if (clip == 0) continue;
    ++clipped_chunks;
    limit = clip;
  }
  if (clipped_chunks == 0) return {};
  epoch.clip = std::make_shared<ClipState>(static_cast<uint32_t>(epoch.map.chunks().size()));
  epoch.clip->total = clipped_chunks;
  epoch.clip->remaining = clipped_chunks;
  epoch.clip->limit = limit;
  epoch.clip->wake_all = [shards = shards_] {
    for (Shard* const shard : shards) shard->tasks().wake();
  };
  return {};
}

void Control::install(Job& job) {
  std::vector<uint32_t> fabrics;
  for (const Member& member : job.members) {
    fabrics.push_back(member.state == RankState::left ? kNoFabric : member.fabric);
  }
  job.is_installed = true;
  on_all_shards<Installed>(
      [epoch = job.epoch, fabrics](Shard& shard) {
        shard.remove(epoch->job);  // The epoch before.
        Result<std::vector<transport::Bootstrap>> offers = shard.install(epoch, fabrics);
        if (!offers.ok()) return Installed{offers.status(), {}};
        return Installed{{}, std::move(offers).value()};
      },
      [this, id = job.id](std::vector<Installed> by_shard) {
        Job* const found = find(id);
        if (found == nullptr) return;
        std::vector<std::vector<transport::Bootstrap>> offers;
        for (Installed& shard : by_shard) {
          if (!shard.status.ok()) return fail_job(*found, kNobody, shard.status);
          offers.push_back(std::move(shard.offers));
        }
        send_offers(*found, std::move(offers));
      });
}

void Control::send_offers(Job& job, std::vector<std::vector<transport::Bootstrap>> by_shard) {
  for (uint32_t rank = 0; rank < job.members.size(); ++rank) {
    if (job.members[rank].session == SessionId{0}) continue;
    exchange::Offer offer;
    offer.epoch = job.epoch_number;
    offer.digest = job.epoch->map.digest();
    exchange::Message message;
    for (std::vector<transport::Bootstrap>& offers : by_shard) {
      offer.links.push_back(std::move(offers[rank].blob));
      offer.fd_counts.push_back(static_cast<uint32_t>(offers[rank].fds.size()));
      for (base::Fd& fd : offers[rank].fds) message.fds.push_back(std::move(fd));
    }
    message.body = std::move(offer);
    port_->send(job.members[rank].session, std::move(message));
  }
}

void Control::on_answer(SessionId id, Session& session, exchange::Answer answer,
                        std::vector<base::Fd> fds) {
  Job& job = *find(session.job);
  const size_t fd_count = [&] {
    size_t sum = 0;
    for (const uint32_t count : answer.fd_counts) sum += count;
    return sum;
  }();
  if (job.state != JobState::connecting || answer.epoch != job.epoch_number ||
      job.members[session.rank].has_answered || answer.links.size() != shards_.size() ||
      answer.fd_counts.size() != shards_.size() || fd_count != fds.size()) {
    const Status broken(Code::invalid_argument, "answer for epoch " + std::to_string(answer.epoch) +
                                                    " with " + std::to_string(answer.links.size()) +
                                                    " links and " + std::to_string(fds.size()) +
                                                    " descriptors: not what was offered");
    return refuse(id, broken);
  }
  job.members[session.rank].has_answered = true;
  auto bootstraps = std::make_shared<std::vector<transport::Bootstrap>>(shards_.size());
  size_t next_fd = 0;
  for (size_t shard = 0; shard < shards_.size(); ++shard) {
    (*bootstraps)[shard].blob = std::move(answer.links[shard]);
    for (uint32_t i = 0; i < answer.fd_counts[shard]; ++i) {
      (*bootstraps)[shard].fds.push_back(std::move(fds[next_fd++]));
    }
  }
  on_all_shards<Status>(
      [job_id = job.id, rank = session.rank, bootstraps](Shard& shard) {
        return shard.accept(job_id, rank, std::move((*bootstraps)[shard.index()]));
      },
      [this, job_id = job.id, rank = session.rank](std::vector<Status> by_shard) {
        Job* const found = find(job_id);
        if (found == nullptr) return;
        Status first;
        for (const Status& status : by_shard) {
          if (!status.ok()) first = status;
        }
        on_accepted(*found, rank, first);
      });
}

void Control::on_accepted(Job& job, uint32_t rank, const Status& status) {
  if (!status.ok()) {
    return suspect(
        job, rank,
        Status(Code::aborted, job.describe(rank) + " of job \"" + job.spec.name +
                                  "\" gave links that do not work: " + status.message()));
  }
  if (--job.answers_missing > 0) return;
  on_all_shards<bool>(
      [id = job.id](Shard& shard) {
        shard.start(id);
        return true;
      },
      [this, id = job.id](std::vector<bool>) {
        if (Job* const found = find(id)) start(*found);
      });
}

void Control::start(Job& job) {
  ::malloc_trim(0);  // Tables and bootstraps in transit were as large as what stays of them.
  job.state = JobState::running;
  base::log(base::LogLevel::info, "job " + job.spec.name + ": epoch " +
                                      std::to_string(job.epoch_number) + " runs with " +
                                      std::to_string(job.epoch->tensors.size()) + " tensors in " +
                                      std::to_string(job.epoch->map.chunks().size()) + " chunks");
  for (Member& member : job.members) {
    if (member.session == SessionId{0}) continue;
    member.state = RankState::ready;
    send(member.session, exchange::Start{job.epoch_number});
  }
}

}  // namespace phub::hub
