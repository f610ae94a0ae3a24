#include "phub/control.h"

#include <algorithm>

#include "base/log.h"
#include "kernels/reduce.h"

namespace phub::hub {

using base::LogLevel;

namespace {
constexpr std::chrono::milliseconds kReasonGrace{250};
}  // namespace

Control::Control(ControlOptions options, std::vector<Shard*> shards, SessionPort* port)
    : options_(std::move(options)), shards_(std::move(shards)), port_(port) {}

void Control::on_open(SessionId session) { sessions_.try_emplace(session); }

void Control::on_message(SessionId id, exchange::Message message) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;  // Closed; its last words do not count.
  Session& session = found->second;
  if (auto* hello = std::get_if<exchange::Hello>(&message.body)) {
    return on_hello(id, session, std::move(*hello));
  }
  if (const auto* proof = std::get_if<exchange::Proof>(&message.body)) {
    return on_proof(id, session, *proof);
  }
  Job* const job = session.state == SessionState::joined ? find(session.job) : nullptr;
  if (job == nullptr) {
    return refuse(id, Status(Code::failed_precondition,
                             "message out of order: send hello, then proof, before all else"));
  }
  const uint32_t rank = session.rank;
  if (auto* tensors = std::get_if<exchange::Tensors>(&message.body)) {
    on_tensors(id, session, std::move(*tensors));
  } else if (auto* answer = std::get_if<exchange::Answer>(&message.body)) {
    on_answer(id, session, std::move(*answer), std::move(message.fds));
  } else if (const auto* barrier = std::get_if<exchange::Barrier>(&message.body)) {
    on_barrier(*job, rank, barrier->id);
  } else if (auto* settings = std::get_if<exchange::Settings>(&message.body)) {
    on_settings(id, *job, rank, std::move(*settings));
  } else if (const auto* late_query = std::get_if<exchange::LateQuery>(&message.body)) {
    on_late(id, *job, late_query->id);
  } else if (auto* state = std::get_if<exchange::StateQuery>(&message.body)) {
    on_state(id, *job, std::move(*state));
  } else if (std::holds_alternative<exchange::Leave>(message.body)) {
    on_leave(id, *job, rank);
  } else if (const auto* abort = std::get_if<exchange::Abort>(&message.body)) {
    on_abort(id, *job, rank, *abort);
  } else {
    const Status broken(Code::invalid_argument, "a hub's message came from a worker");
    refuse(id, broken);
  }
}

void Control::on_close(SessionId id, const Status& reason) {
  if (!sessions_.contains(id)) return;
  if (reason.code() == Code::invalid_argument) ++sessions_refused_;
  end_session(id, reason);
}

void Control::end_session(SessionId id, const Status& reason) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  const Session session = std::move(found->second);
  sessions_.erase(found);
  Job* const job = session.state == SessionState::joined ? find(session.job) : nullptr;
  if (job == nullptr) return;
  Member& member = job->members[session.rank];
  if (member.session != id) return;
  const std::string who = job->describe(session.rank);
  member.session = SessionId{0};
  job->idle_since = now_;
  if (member.state == RankState::left) return erase_if_over(job->spec.name);
  if (job->state == JobState::forming) {  // Nothing was agreed: the others wait on.
    member = Member();
    member.departure = who + " joined and left again: " + reason.message();
    if (job->proposer == session.rank) hand_over_proposal(*job);
    return erase_if_over(job->spec.name);
  }
  fail_job(*job, session.rank,
           Status(Code::aborted,
                  who + " of job \"" + job->spec.name + "\" is lost: " + reason.message()));
}

// The table stays as long as somebody who proposed the same is there: workers say it once.
void Control::hand_over_proposal(Job& job) {
  for (uint32_t rank = 0; rank < job.members.size(); ++rank) {
    if (!job.members[rank].has_proposed) continue;
    job.proposer = rank;
    return;
  }
  job.proposal.clear();
}

void Control::on_rank_fault(const RankFault& fault) {
  Job* const job = find(fault.job);
  if (job == nullptr || job->epoch_number != fault.epoch) return;
  const std::string name = "job \"" + job->spec.name + "\"";
  if (fault.rank == kNobody) {
    return fail_job(*job, kNobody, Status(Code::aborted, name + ": " + fault.reason));
  }
  const Status status(Code::aborted, job->describe(fault.rank) + " of " + name +
                                         (fault.is_lost ? " is lost: " : " broke the protocol: ") +
                                         fault.reason);
  if (!fault.is_lost) return fail_job(*job, fault.rank, status);
  suspect(*job, fault.rank, status);
}

// A rank that ends takes its links along, and its session says better why: what that says within
// the grace comes first.
void Control::suspect(const Job& job, uint32_t rank, const Status& status) {
  suspicions_.push_back({job.id, job.epoch_number, rank, status, now_ + kReasonGrace});
}

void Control::judge_suspects() {
  std::vector<Suspicion> due;
  std::erase_if(suspicions_, [&](Suspicion& one) {
    if (now_ < one.deadline) return false;
    due.push_back(std::move(one));
    return true;
  });
  for (const Suspicion& one : due) {
    Job* const job = find(one.job);  // A job that has failed since has another id.
    if (job != nullptr && job->epoch_number == one.epoch) fail_job(*job, one.rank, one.status);
  }
}

base::Instant Control::next_deadline() const {
  base::Instant next{INT64_MAX};
  for (const Suspicion& one : suspicions_) next = std::min(next, one.deadline);
  return next;
}

size_t Control::poll(base::Instant now) {
  if (started_ == base::Instant()) started_ = now;
  now_ = now;
  const size_t count = tasks_.run();
  judge_suspects();
  expire();
  return count;
}

// What has waited long enough: jobs for their ranks, weights for somebody to come back to them.
void Control::expire() {
  std::vector<std::string> late;
  std::vector<std::string> over;
  for (const auto& [name, job] : jobs_) {
    const bool is_waiting = job.has_sessions() && !job.missing_proposals().empty() &&
                            (job.state == JobState::forming || !job.proposal.empty());
    const bool is_over = now_ - job.waiting_since > options_.join_timeout;
    if (is_over && (is_waiting || job.state == JobState::connecting)) late.push_back(name);
    if (!job.has_sessions() && !job.is_kept && job.holds_state() &&
        now_ - job.idle_since > options_.rejoin_window) {
      over.push_back(name);
    }
  }
  for (const std::string& name : late) {
    Job& job = jobs_.at(name);
    fail_job(job, kNobody,
             Status(Code::timed_out, "job \"" + name + "\" is not complete after " +
                                         std::to_string(options_.join_timeout.count()) +
                                         " ms (--join-timeout): " + waiting_text(job)));
  }
  for (const std::string& name : over) {
    base::log(LogLevel::warning, "job " + name + ": nobody came back to its weights; forgotten");
    jobs_.erase(name);
  }
}

Job* Control::find(const std::string& name) {
  const auto found = jobs_.find(name);
  return found == jobs_.end() ? nullptr : &found->second;
}

const Job* Control::find(const std::string& name) const {
  const auto found = jobs_.find(name);
  return found == jobs_.end() ? nullptr : &found->second;
}

Job* Control::find(JobId id) {
  for (auto& [name, job] : jobs_) {
    if (job.id == id) return &job;
  }
  return nullptr;
}

void Control::send(SessionId session, exchange::Body body) {
  port_->send(session, {std::move(body), {}});
}

void Control::refuse(SessionId session, const Status& status, const std::string& who) {
  ++sessions_refused_;
  base::log(LogLevel::warning,
            "session refused: " + who + (who.empty() ? "" : ": ") + status.to_string());
  send(session, exchange::Failure{static_cast<uint8_t>(status.code()), status.message()});
  port_->close(session);
  end_session(session, status);
}

// Ends the job's epoch for everybody. Its weights stay for those who come back.
void Control::fail_job(Job& job, uint32_t culprit, const Status& status) {
  base::log(LogLevel::error, "job " + job.spec.name + " failed: " + status.message());
  job.last_failure = status.message();
  ++jobs_failed_;
  for (uint32_t rank = 0; rank < job.members.size(); ++rank) {
    Member& member = job.members[rank];
    if (member.session == SessionId{0}) continue;
    const Code code =
        rank == culprit && status.code() == Code::aborted ? Code::invalid_argument : status.code();
    send(member.session, exchange::Failure{static_cast<uint8_t>(code), status.message()});
    port_->close(member.session);
    sessions_.erase(member.session);
  }
  job.members.assign(job.spec.rank_count, Member());
  job.proposal.clear();
  job.idle_since = now_;
  forget(job);
  erase_if_over(job.spec.name);
}

// Takes the job's epoch off the shards. Until they have answered, no new epoch begins.
void Control::forget(Job& job) {
  const JobId old_id = job.id;
  job.id = JobId{next_job_++};
  job.epoch_number = 0;
  job.settings.reset();
  job.state = JobState::forming;
  if (!job.is_installed) return;
  job.is_installed = false;
  job.is_removing = true;
  on_all_shards<bool>(
      [old_id](Shard& shard) {
        shard.remove(old_id);
        return true;
      },
      [this, id = job.id](std::vector<bool>) {
        Job* const found = find(id);
        if (found == nullptr) return;
        found->is_removing = false;
        begin_epoch_if_agreed(*found);
      });
}

// A job ends when its last rank has gone, unless an operator made it or its weights are worth
// keeping.
void Control::erase_if_over(const std::string& name) {
  Job* const job = find(name);
  if (job == nullptr || job->has_sessions()) return;
  const bool has_left =
      std::any_of(job->members.begin(), job->members.end(),
                  [](const Member& member) { return member.state == RankState::left; });
  if (!has_left && (job->is_kept || job->holds_state()) && !is_draining_) return;
  forget(*job);
  base::log(LogLevel::info, "job " + name + " is over");
  jobs_.erase(name);
}

uint64_t Control::memory_used() const {
  uint64_t used = 0;
  for (const auto& [name, job] : jobs_) used += job.memory.total_bytes();
  return used;
}

HubSnapshot Control::snapshot() const {
  HubSnapshot result;
  result.version = options_.version;
  result.host = options_.host;
  result.isa = kernels::isa_name();
  result.uptime_seconds = static_cast<double>((now_ - started_).count()) * 1e-9;
  result.is_draining = is_draining_;
  result.memory_limit_bytes = options_.memory_limit_bytes;
  result.memory_used_bytes = memory_used();
  result.jobs_max = options_.jobs_max;
  result.sessions_accepted = sessions_accepted_;
  result.sessions_refused = sessions_refused_;
  result.jobs_failed = jobs_failed_;
  for (Shard* const shard : shards_) {
    result.shards.push_back(snapshot_of(*shard, options_.shape.shards[shard->index()]));
    add_nics(*shard, result.nics);
    add_packets(*shard, result.packets);
  }
  for (const auto& [name, job] : jobs_) result.jobs.push_back(job.snapshot(options_.fabric_names));
  return result;
}

void Control::late(const std::string& name,
                   std::function<void(Result<std::vector<LateSnapshot>>)> done) {
  const Job* const job = find(name);
  if (job == nullptr) return done(Status(Code::not_found, "no job named \"" + name + "\""));
  on_all_shards<std::vector<LateSnapshot>>(
      [id = job->id](Shard& shard) { return shard.late(id); },
      [done = std::move(done)](std::vector<std::vector<LateSnapshot>> by_shard) {
        done(merge_late(std::move(by_shard)));
      });
}

Result<std::string> Control::map_text(const std::string& name) const {
  const Job* const job = find(name);
  if (job == nullptr) return Status(Code::not_found, "no job named \"" + name + "\"");
  if (job->epoch == nullptr) {
    return Status(Code::failed_precondition,
                  "job \"" + name + "\" has no map yet: its ranks have not agreed on tensors");
  }
  return exchange::to_text(job->epoch->map, job->epoch->tensors, job->epoch->hubs);
}

Status Control::remove_job(const std::string& name, const std::string& reason) {
  Job* const job = find(name);
  if (job == nullptr) return Status(Code::not_found, "no job named \"" + name + "\"");
  job->is_kept = false;
  job->states.clear();
  fail_job(*job, kNobody, Status(Code::aborted, reason));
  jobs_.erase(name);
  return {};
}

void Control::drain() {
  is_draining_ = true;
  std::vector<std::string> idle;
  for (const auto& [name, job] : jobs_) {
    if (!job.has_sessions()) idle.push_back(name);
  }
  for (const std::string& name : idle) erase_if_over(name);
}

void Control::undrain() { is_draining_ = false; }

void Control::set_limits(const HubLimits& limits) {
  options_.memory_limit_bytes = limits.memory_limit_bytes;
  options_.job_memory_limit_bytes = limits.job_memory_limit_bytes;
  options_.jobs_max = limits.jobs_max;
  options_.peer_timeout = limits.peer_timeout;
  options_.join_timeout = limits.join_timeout;
  options_.allow_create = limits.allow_create;
}

void Control::stop(const std::string& reason) {
  is_draining_ = true;
  while (!jobs_.empty()) {
    Job& job = jobs_.begin()->second;
    const std::string name = job.spec.name;
    job.states.clear();
    job.is_kept = false;
    fail_job(job, kNobody, Status(Code::unavailable, reason));
    jobs_.erase(name);
  }
}

}  // namespace phub::hub
