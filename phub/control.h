// The control plane: sessions, jobs, epochs, failures. A state machine that is told what happened.
//
// Sockets and threads are elsewhere (session_server.h, hub.h), so that whole clusters run in one
// thread of a test. Work on shards is posted to them; their answers come back as tasks and are
// found by JobId, so an answer for a job that has meanwhile failed meets nothing. Thread-safety:
// one thread, except tasks().post.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "exchange/session.h"
#include "phub/job.h"
#include "phub/shard.h"
#include "phub/tasks.h"

namespace phub::hub {

// How control reaches a worker. send and close never block; close lets what was sent go out first.
class SessionPort {
 public:
  virtual ~SessionPort() = default;
  virtual void send(SessionId session, exchange::Message message) = 0;
  virtual void close(SessionId session) = 0;
  // The worker has proved its secret: longer frames are welcome.
  virtual void trust(SessionId session) = 0;
};

struct ControlOptions {
  std::string name = "phubd";  // "phubd 0.1.0 on node7": how workers know the hub.
  std::string host;
  std::string version;
  exchange::HubShape shape;
  std::vector<std::string> fabric_names;  // By index, the same on every shard.
  std::chrono::milliseconds peer_timeout{5000};
  std::chrono::milliseconds join_timeout{60'000};  // For all ranks to join and propose.
  uint64_t memory_limit_bytes = UINT64_MAX;
  uint64_t job_memory_limit_bytes = UINT64_MAX;
  uint32_t jobs_max = 64;
  bool allow_create = true;  // A worker's hello may create its job.
  // How long a failed job's weights wait for its ranks to come back.
  std::chrono::seconds rejoin_window{600};
};

// What an operator may change while the hub runs.
struct HubLimits {
  uint64_t memory_limit_bytes = UINT64_MAX;
  uint64_t job_memory_limit_bytes = UINT64_MAX;
  uint32_t jobs_max = 64;
  uint32_t sessions_max = 4096;
  std::chrono::milliseconds peer_timeout{5000};
  std::chrono::milliseconds join_timeout{60'000};
  bool allow_create = true;
};

class Control {
 public:
  Control(ControlOptions options, std::vector<Shard*> shards, SessionPort* port);

  // Events of the session layer. `reason` of a close: "connection closed", "silent for 5.0 s".
  void on_open(SessionId session);
  // Somebody who did not get as far as a session message; the port has said why.
  void count_refusal() { ++sessions_refused_; }
  void on_message(SessionId session, exchange::Message message);
  void on_close(SessionId session, const Status& reason);
  void on_rank_fault(const RankFault& fault);

  // Runs tasks and expires what has waited long enough. Returns tasks run.
  size_t poll(base::Instant now);
  // Poll again by then.
  base::Instant next_deadline() const;
  Tasks& tasks() { return tasks_; }

  // Operators' questions and orders (phub/admin.h has the contracts).
  HubSnapshot snapshot() const;
  void late(const std::string& job, std::function<void(Result<std::vector<LateSnapshot>>)> done);
  Result<std::string> map_text(const std::string& job) const;
  Status create_job(const JobSpec& spec);
  Status remove_job(const std::string& job, const std::string& reason);
  void drain();
  void undrain();  // What drain() has ended stays ended.
  // Holds for what begins from now on; what runs keeps what it was given.
  void set_limits(const HubLimits& limits);
  // Tells every rank that the hub is going, and forgets all jobs.
  void stop(const std::string& reason);
  // Draining, and no job is left.
  bool is_finished() const { return is_draining_ && jobs_.empty(); }

 private:
  enum class SessionState : uint8_t { fresh, challenged, joined };
  struct Session {
    SessionState state = SessionState::fresh;
    exchange::Hello hello;
    std::string nonce;
    JobId job = JobId{0};
    uint32_t rank = 0;
  };

  // control.cc
  template <typename Answer>
  void on_all_shards(std::function<Answer(Shard&)> work,
                     std::function<void(std::vector<Answer>)> done);
  Job* find(const std::string& name);
  const Job* find(const std::string& name) const;
  Job* find(JobId id);
  void send(SessionId session, exchange::Body body);
  // Tells it why, and forgets it: if it was a rank, its job hears of it. `who`: for the log.
  void refuse(SessionId session, const Status& status, const std::string& who = "");
  void end_session(SessionId session, const Status& reason);
  void suspect(const Job& job, uint32_t rank, const Status& status);
  void judge_suspects();
  void fail_job(Job& job, uint32_t culprit, const Status& status);
  void forget(Job& job);
  void hand_over_proposal(Job& job);
  void erase_if_over(const std::string& name);
  void expire();
  uint64_t memory_used() const;

  // control_join.cc: hello, proof, welcome.
  void on_hello(SessionId id, Session& session, exchange::Hello hello);
  Status check_hello(const exchange::Hello& hello) const;
  void challenge(SessionId id, Session& session);
  void on_proof(SessionId id, Session& session, const exchange::Proof& proof);
  Result<Job*> job_for(const Session& session, const exchange::Proof& proof);
  Status may_create() const;
  Job& add_job(const JobSpec& spec, std::string key);

  // control_epoch.cc: tensors, offer, answer, start.
  void on_tensors(SessionId id, Session& session, exchange::Tensors tensors);
  Status propose(Job& job, uint32_t rank, exchange::Tensors tensors);
  Status check_hubs(const exchange::Tensors& tensors) const;
  Status check_map_size(const Job& job, std::span<const TensorSpec> table) const;
  uint64_t memory_left(const Job& job) const;
  uint64_t tls_link_count(const Job& job) const;
  Status compare_proposals(const Job& job, uint32_t rank, const exchange::Tensors& tensors) const;
  Status check_clip(std::span<const TensorSpec> table, uint32_t hub_count) const;
  void begin_epoch_if_agreed(Job& job);
  Result<std::shared_ptr<const Epoch>> make_epoch(Job& job);
  Status make_states(Job& job, Epoch& epoch);
  void install(Job& job);
  void send_offers(Job& job, std::vector<std::vector<transport::Bootstrap>> by_shard);
  void on_answer(SessionId id, Session& session, exchange::Answer answer,
                 std::vector<base::Fd> fds);
  void on_accepted(Job& job, uint32_t rank, const Status& status);
  void start(Job& job);

  // control_requests.cc: what ranks of a running job ask for.
  void on_barrier(Job& job, uint32_t rank, uint64_t id);
  void release_barrier(Job& job);
  void on_settings(SessionId id, Job& job, uint32_t rank, exchange::Settings settings);
  void on_late(SessionId id, Job& job, uint64_t query);
  std::string waiting_text(const Job& job) const;
  void on_state(SessionId id, Job& job, exchange::StateQuery query);
  void on_leave(SessionId id, Job& job, uint32_t rank);
  void on_abort(SessionId id, Job& job, uint32_t rank, const exchange::Abort& abort);
  void on_left(Job& job, uint32_t rank);

  ControlOptions options_;
  const std::vector<Shard*> shards_;
  SessionPort* const port_;
  Tasks tasks_;
  base::Instant now_;
  base::Instant started_;
  std::map<SessionId, Session> sessions_;
  std::map<std::string, Job> jobs_;
  struct Suspicion {  // That a link of this rank does not work.
    JobId job = JobId{0};
    uint32_t epoch = 0;
    uint32_t rank = 0;
    Status status;
    base::Instant deadline;
  };
  std::vector<Suspicion> suspicions_;
  uint32_t next_job_ = 1;
  bool is_draining_ = false;
  uint64_t sessions_accepted_ = 0;
  uint64_t sessions_refused_ = 0;
  uint64_t jobs_failed_ = 0;
};

// Runs `work` on every shard's thread; then `done` on control's, with the answers in shard order.
template <typename Answer>
void Control::on_all_shards(std::function<Answer(Shard&)> work,
                            std::function<void(std::vector<Answer>)> done) {
  struct Gathering {
    std::vector<Answer> answers;
    size_t missing = 0;
    std::function<void(std::vector<Answer>)> done;
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->answers.resize(shards_.size());
  gathering->missing = shards_.size();
  gathering->done = std::move(done);
  for (Shard* const shard : shards_) {
    shard->tasks().post([this, shard, work, gathering] {
      auto answer = std::make_shared<Answer>(work(*shard));
      tasks_.post([gathering, answer, index = shard->index()] {
        gathering->answers[index] = std::move(*answer);
        if (--gathering->missing == 0) gathering->done(std::move(gathering->answers));
      });
    });
  }
}

}  // namespace phub::hub
