// What the ranks of a job ask of the hub beside the data: barrier, settings, who is late, state,
// leave.
#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "phub/control.h"

namespace phub::hub {
namespace {

constexpr uint64_t kStateElementsMax = 1u << 22;  // One piece of a tensor's state: 16 MiB.

// Copies the part of [query.first_element, + count) that the shard owns out of, or into, `floats`.
void copy_state(ShardJob& job, const exchange::StateQuery& query, float* floats) {
  const uint64_t begin = query.first_element;
  const uint64_t end = begin + query.count;
  for (const OwnedChunk& chunk : job.chunks()) {
    if (chunk.tensor != query.tensor) continue;
    const uint64_t first = job.epoch->map.chunks()[chunk.chunk].first_element;
    const uint64_t from = std::max(begin, first);
    const uint64_t to = std::min(end, first + chunk.elements);
    if (from >= to) continue;
    float* const by_kind[] = {chunk.state.weights, chunk.state.first_moment,
                              chunk.state.second_moment};
    float* const held = by_kind[query.kind] + (from - first);
    float* const copy = floats + (from - begin);
    if (query.write) {
      std::memcpy(held, copy, (to - from) * sizeof(float));
    } else {
      std::memcpy(copy, held, (to - from) * sizeof(float));
    }
  }
}

// The tensor's step count, if the shard owns its first chunk; writing sets it for every owned
// chunk.
uint64_t access_steps(ShardJob& job, const exchange::StateQuery& query) {
  uint64_t result = 0;
  std::vector<uint64_t>& steps = job.epoch->states[query.tensor]->steps;
  for (const OwnedChunk& chunk : job.chunks()) {
    if (chunk.tensor != query.tensor) continue;
    if (query.write) steps[chunk.chunk_in_tensor] = query.step_count;
    if (chunk.chunk_in_tensor == 0) result = steps[0];
  }
  return result;
}

Status check_state_query(const Job& job, const exchange::StateQuery& query) {
  if (job.state != JobState::running || query.tensor >= job.epoch->tensors.size()) {
    return Status(Code::not_found, "no tensor " + std::to_string(query.tensor) + " in job \"" +
                                       job.spec.name + "\"");
  }
  const TensorSpec& spec = job.epoch->tensors[query.tensor];
  const std::shared_ptr<TensorState>& state = job.epoch->states[query.tensor];
  const bool is_held =
      state != nullptr && (query.kind == static_cast<uint8_t>(StateKind::weights) ||
                           query.kind == exchange::kStepCount ||
                           (query.kind == static_cast<uint8_t>(StateKind::first_moment) &&
                            state->first_moment.data() != nullptr) ||
                           (query.kind == static_cast<uint8_t>(StateKind::second_moment) &&
                            state->second_moment.data() != nullptr));
  if (!is_held) {
    return Status(Code::failed_precondition, "the hub holds no such state of tensor \"" +
                                                 spec.name + "\" (optimizer " +
                                                 std::string(to_string(spec.optimizer.kind)) + ")");
  }
  if (query.kind == exchange::kStepCount) return {};
  if (query.count > kStateElementsMax || query.first_element > spec.count ||
      query.count > spec.count - query.first_element) {
    return Status(Code::invalid_argument, "elements " + std::to_string(query.first_element) +
                                              " + " + std::to_string(query.count) +
                                              " are not in tensor \"" + spec.name + "\" of " +
                                              std::to_string(spec.count));
  }
  if (query.write && query.blob.size() != query.count * sizeof(float)) {
    return Status(Code::invalid_argument, std::to_string(query.blob.size()) + " bytes for " +
                                              std::to_string(query.count) + " float32 values");
  }
  return {};
}

}  // namespace

std::vector<LateSnapshot> merge_late(std::vector<std::vector<LateSnapshot>> by_shard) {
  std::vector<LateSnapshot> all;
  for (std::vector<LateSnapshot>& part : by_shard) {
    all.insert(all.end(), std::make_move_iterator(part.begin()),
               std::make_move_iterator(part.end()));
  }
  std::stable_sort(all.begin(), all.end(), [](const LateSnapshot& a, const LateSnapshot& b) {
    return a.since_seconds > b.since_seconds;
  });
  std::vector<LateSnapshot> merged;
  for (LateSnapshot& entry : all) {
    if (std::none_of(merged.begin(), merged.end(),
                     [&](const LateSnapshot& kept) { return kept.tensor == entry.tensor; })) {
      merged.push_back(std::move(entry));
    }
  }
  return merged;
}

void Control::on_barrier(Job& job, uint32_t rank, uint64_t id) {
  job.members[rank].barrier = id;
  release_barrier(job);
}

void Control::release_barrier(Job& job) {
  for (const Member& member : job.members) {
    if (member.state != RankState::left && !member.barrier.has_value()) return;
  }
  for (Member& member : job.members) {
    if (member.barrier.has_value()) send(member.session, exchange::BarrierDone{*member.barrier});
    member.barrier.reset();
  }
}

void Control::on_settings(SessionId id, Job& job, uint32_t rank, exchange::Settings settings) {
  if (rank != 0 || job.state != JobState::running ||
      settings.first_rounds.size() != job.epoch->tensors.size()) {
    const Status broken(Code::invalid_argument,
                        "settings come from rank 0 of a running job, with one round per tensor");
    return refuse(id, broken);
  }
  job.settings = settings.values;
  on_all_shards<bool>(
      [job_id = job.id, settings](Shard& shard) {
        shard.add_settings(job_id, {settings.values, settings.first_rounds});
        return true;
      },
      [this, id, query = settings.id](std::vector<bool>) {
        send(id, exchange::SettingsDone{query});
      });
}

void Control::on_late(SessionId id, Job& job, uint64_t query) {
  const std::string waiting = waiting_text(job);
  if (job.state != JobState::running) return send(id, exchange::LateReport{query, waiting});
  on_all_shards<std::vector<LateSnapshot>>(
      [job_id = job.id](Shard& shard) { return shard.late(job_id); },
      [this, id, query, job_id = job.id, waiting](std::vector<std::vector<LateSnapshot>> parts) {
        const Job* const found = find(job_id);
        if (found == nullptr) return;
        std::string text = late_text(*found, merge_late(std::move(parts)));
        if (!waiting.empty()) text += (text.empty() ? "" : "; ") + waiting;
        send(id, exchange::LateReport{query, text});
      });
}

// Who keeps the job from forming, from its next epoch, or at a barrier.
std::string Control::waiting_text(const Job& job) const {
  std::vector<uint32_t> absent;
  std::vector<uint32_t> silent;
  std::vector<uint32_t> linkless;
  std::vector<uint32_t> not_at_barrier;
  bool is_at_barrier = false;
  bool is_agreeing = job.state == JobState::forming;
  for (uint32_t rank = 0; rank < job.members.size(); ++rank) {
    const Member& member = job.members[rank];
    if (member.state == RankState::left) continue;
    if (member.session == SessionId{0} && member.departure.empty()) absent.push_back(rank);
    if (member.session != SessionId{0} && !member.has_proposed) silent.push_back(rank);
    if (job.state == JobState::connecting && !member.has_answered) linkless.push_back(rank);
    if (!member.barrier.has_value()) not_at_barrier.push_back(rank);
    is_at_barrier |= member.barrier.has_value();
    is_agreeing |= member.has_proposed;
  }
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
  if (!absent.empty()) add(Job::describe_ranks(absent) + " did not join");
  for (const Member& member : job.members) {
    if (!member.departure.empty()) add(member.departure);
  }
  if (is_agreeing && !silent.empty()) {
    add(Job::describe_ranks(silent) + " did not call register_tensors");
  }
  if (!linkless.empty()) add(Job::describe_ranks(linkless) + " did not answer with its links");
  if (is_at_barrier) add(Job::describe_ranks(not_at_barrier) + " did not come to the barrier");
  return text;
}

void Control::on_state(SessionId id, Job& job, exchange::StateQuery query) {
  const Status checked = check_state_query(job, query);
  if (!checked.ok()) {
    return send(id, exchange::StateReply{
                        query.id, static_cast<uint8_t>(checked.code()), checked.message(), 0, {}});
  }
  auto shared = std::make_shared<exchange::StateQuery>(std::move(query));
  if (shared->kind == exchange::kStepCount) {
    on_all_shards<uint64_t>(
        [job_id = job.id, shared](Shard& shard) -> uint64_t {
          ShardJob* const found = shard.find(job_id);
          return found == nullptr ? 0 : access_steps(*found, *shared);
        },
        [this, id, shared](std::vector<uint64_t> by_shard) {
          const uint64_t steps = *std::max_element(by_shard.begin(), by_shard.end());
          send(id, exchange::StateReply{shared->id, 0, "", steps, {}});
        });
    return;
  }
  shared->blob.resize(shared->count * sizeof(float));
  on_all_shards<bool>(
      [job_id = job.id, shared](Shard& shard) {
        ShardJob* const found = shard.find(job_id);
        if (found != nullptr) {
          copy_state(*found, *shared, reinterpret_cast<float*>(shared->blob.data()));
        }
        return true;
      },
      [this, id, shared](std::vector<bool>) {
        exchange::StateReply reply{shared->id, 0, "", 0, {}};
        if (!shared->write) reply.blob = std::move(shared->blob);
        send(id, std::move(reply));
      });
}

void Control::on_leave(SessionId id, Job& job, uint32_t rank) {
  if (job.state != JobState::running) {
    // Forming: nothing to leave yet, its place is free again. Connecting: the epoch cannot start.
    send(id, exchange::Left{});
    port_->close(id);
    return on_close(id, Status(Code::unavailable, "it left while the links were being made"));
  }
  on_all_shards<bool>(
      [job_id = job.id, rank](Shard& shard) {
        shard.remove_rank(job_id, rank);
        return true;
      },
      [this, job_id = job.id, rank](std::vector<bool>) {
        if (Job* const found = find(job_id)) on_left(*found, rank);
      });
}

// The rank has lost another hub of the job, say: whoever is here hears that, and not just that the
// rank has gone.
void Control::on_abort(SessionId id, Job& job, uint32_t rank, const exchange::Abort& abort) {
  if (job.state == JobState::forming) {  // Its place is free again.
    port_->close(id);
    return on_close(id, Status(Code::unavailable, abort.message));
  }
  fail_job(job, kNobody,
           Status(Code::aborted, job.describe(rank) + " of job \"" + job.spec.name +
                                     "\" gave up: " + abort.message));
}

void Control::on_left(Job& job, uint32_t rank) {
  Member& member = job.members[rank];
  const SessionId session = member.session;
  if (session == SessionId{0}) return;
  base::log(base::LogLevel::info, "job " + job.spec.name + ": " + job.describe(rank) + " left");
  member.state = RankState::left;
  member.barrier.reset();
  member.has_proposed = false;
  member.session = SessionId{0};
  job.idle_since = now_;
  send(session, exchange::Left{});
  port_->close(session);
  sessions_.erase(session);
  if (job.proposer == rank) hand_over_proposal(job);  // Nobody is held to what it wanted.
  release_barrier(job);
  const std::string name = job.spec.name;
  begin_epoch_if_agreed(job);  // May end the job.
  erase_if_over(name);
}

}  // namespace phub::hub
