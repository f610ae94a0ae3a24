// How a rank joins: hello, challenge, proof, welcome ("create service" and "connect service").
#include "base/log.h"
#include "base/try.h"
#include "exchange/session_auth.h"
#include "phub/control.h"

namespace phub::hub {
namespace {

// Before it is a member of a job.
std::string who(const exchange::Hello& hello) {
  return "rank " + std::to_string(hello.rank) + " (process " + std::to_string(hello.process) +
         " on " + hello.host + ")";
}

}  // namespace

void Control::on_hello(SessionId id, Session& session, exchange::Hello hello) {
  if (session.state != SessionState::fresh) {
    return refuse(id, Status(Code::failed_precondition, "hello came twice"));
  }
  const Status checked = check_hello(hello);
  if (!checked.ok()) return refuse(id, checked, who(hello));
  session.hello = std::move(hello);
  challenge(id, session);
}

void Control::challenge(SessionId id, Session& session) {
  session.nonce = exchange::make_nonce();
  session.state = SessionState::challenged;
  send(id, exchange::Challenge{session.nonce, find(session.hello.job.name) == nullptr});
}

Status Control::check_hello(const exchange::Hello& hello) const {
  const JobSpec& spec = hello.job;
  if (spec.rank_count == 0 || spec.rank_count > kRankCountMax) {
    return Status(Code::invalid_argument, "rank count " + std::to_string(spec.rank_count) +
                                              ": want 1 to " + std::to_string(kRankCountMax));
  }
  if (hello.rank >= spec.rank_count) {
    return Status(Code::invalid_argument, "rank " + std::to_string(hello.rank) + " of a job of " +
                                              std::to_string(spec.rank_count) +
                                              ": ranks count from 0");
  }
  for (const std::string& name : options_.fabric_names) {
    if (name == hello.fabric) return {};
  }
  return Status(Code::unimplemented, "the hub has no fabric \"" + hello.fabric + "\"");
}

void Control::on_proof(SessionId id, Session& session, const exchange::Proof& proof) {
  if (session.state != SessionState::challenged) {
    return refuse(id, Status(Code::failed_precondition, "proof without a challenge"));
  }
  // The job was there when it was challenged, and is over: what guards the next one must be said.
  if (proof.key.empty() && find(session.hello.job.name) == nullptr) return challenge(id, session);
  Result<Job*> found = job_for(session, proof);
  if (!found.ok()) return refuse(id, found.status(), who(session.hello));
  Job& job = **found;
  const exchange::Hello& hello = session.hello;
  Member& member = job.members[hello.rank];
  if (member.session != SessionId{0}) {
    const bool is_same = member.process == hello.process && member.host == hello.host;
    return refuse(
        id,
        Status(Code::already_exists,
               "job \"" + job.spec.name + "\": " + job.describe(hello.rank) +
                   " has joined already; each rank joins once" +
                   (is_same ? "; or PHUB_HUB names this hub twice, by two addresses" : "")),
        who(hello));
  }
  if (!job.has_sessions()) job.waiting_since = now_;
  member = Member();
  member.state = RankState::joining;
  member.session = id;
  member.process = hello.process;
  member.host = hello.host;
  for (uint32_t i = 0; i < options_.fabric_names.size(); ++i) {
    if (options_.fabric_names[i] == hello.fabric) member.fabric = i;
  }
  session.state = SessionState::joined;
  session.job = job.id;
  session.rank = hello.rank;
  ++sessions_accepted_;
  port_->trust(id);
  base::log(base::LogLevel::info,
            "job " + job.spec.name + ": " + job.describe(hello.rank) + " joined");
  send(id, exchange::Welcome{options_.name, options_.shape,
                             static_cast<uint64_t>(options_.peer_timeout.count())});
}

// The job that the hello names, if the proof opens it; created when nobody has before.
Result<Job*> Control::job_for(const Session& session, const exchange::Proof& proof) {
  const JobSpec& spec = session.hello.job;
  Job* const known = find(spec.name);
  const std::string& key = known != nullptr ? known->key : proof.key;
  const std::string expected =
      exchange::prove(key, session.nonce, session.hello.nonce, spec.name, session.hello.rank);
  if (!exchange::is_equal_secret(expected, proof.hmac)) {
    return Status(Code::permission_denied, "wrong secret for job \"" + spec.name +
                                               "\"; PHUB_SECRET (or PHUB_SECRET_FILE) of this "
                                               "rank is not the one that the job was created with");
  }
  if (known == nullptr) {
    PHUB_TRY(may_create());
    return &add_job(spec, key);
  }
  if (is_draining_) {
    return Status(Code::unavailable, options_.name + " is draining: it takes no new ranks");
  }
  if (known->spec.rank_count != spec.rank_count ||
      known->spec.chunk_elements != spec.chunk_elements) {
    return Status(Code::already_exists,
                  "job \"" + spec.name + "\" has " + std::to_string(known->spec.rank_count) +
                      " ranks and chunks of " + std::to_string(known->spec.chunk_elements) +
                      " elements, not " + std::to_string(spec.rank_count) + " and " +
                      std::to_string(spec.chunk_elements) +
                      "; use the same options on every rank, or another job name");
  }
  return known;
}

Status Control::may_create() const {
  if (is_draining_) {
    return Status(Code::unavailable, options_.name + " is draining: it takes no new jobs");
  }
  if (!options_.allow_create) {
    return Status(Code::permission_denied,
                  "the hub lets only its operator create jobs: phubctl create NAME --ranks N");
  }
  if (jobs_.size() >= options_.jobs_max) {
    return Status(Code::resource_exhausted, "the hub serves " + std::to_string(jobs_.size()) +
                                                " jobs, as many as it may (--jobs-max)");
  }
  return {};
}

Job& Control::add_job(const JobSpec& spec, std::string key) {
  Job& job = jobs_[spec.name];
  job.id = JobId{next_job_++};
  job.spec = spec;
  job.spec.secret.clear();
  job.key = std::move(key);
  job.members.resize(spec.rank_count);
  job.idle_since = now_;
  base::log(base::LogLevel::info,
            "job " + spec.name + " created for " + std::to_string(spec.rank_count) + " ranks");
  return job;
}

Status Control::create_job(const JobSpec& spec) {
  if (find(spec.name) != nullptr) {
    return Status(Code::already_exists, "job \"" + spec.name + "\" is there already");
  }
  if (spec.rank_count == 0 || spec.rank_count > kRankCountMax) {
    return Status(Code::invalid_argument, "rank count " + std::to_string(spec.rank_count) +
                                              ": want 1 to " + std::to_string(kRankCountMax));
  }
  if (is_draining_ || jobs_.size() >= options_.jobs_max) {
    return Status(Code::resource_exhausted,
                  is_draining_ ? "the hub is draining" : "the hub serves as many jobs as it may");
  }
  add_job(spec, exchange::derive_key(spec.secret, spec.name)).is_kept = true;
  return {};
}

}  // namespace phub::hub
