// The worker's side of the protocol: the session's state machine around the rounds of an epoch.
//
//   connecting -> idle -> agreeing -> running (-> agreeing ...) -> leaving -> left
//                                 any of them -> failed
//
// Polled and told the time: no threads, no clocks, no waiting, so a cluster of clients runs in one
// thread of a simulation. driver.h and impl.h make it the thread-safe, blocking Worker.
// Thread-safety: none.
#pragma once

#include <phub/status.h>
#include <phub/worker.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "exchange/session_channel.h"
#include "transport/fabric.h"
#include "worker_lib/regions.h"
#include "worker_lib/rounds.h"

namespace phub::client {

using base::Instant;

enum class State : uint8_t { connecting, idle, agreeing, running, leaving, left, failed };
std::string_view to_string(State state);

// Who this process is, for the hub's messages.
struct Identity {
  int64_t process = 0;
  std::string host;
};

class Client {
 public:
  // Says hello at once. REQUIRES: options passed check_options(); the channel and the fabric are
  // fresh.
  Client(WorkerOptions options, Identity identity,
         std::unique_ptr<exchange::SessionChannel> channel,
         std::unique_ptr<transport::Fabric> fabric);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Handles what has come by `now`; returns how much. While running, the session is looked at every
  // 100 us only: it may cost a system call.
  size_t poll(Instant now);
  size_t poll_session(Instant now);

  State state() const { return state_; }
  const Status& failure() const { return failure_; }  // Why, when failed.
  const std::string& hub_name() const { return hub_name_; }
  const WorkerOptions& options() const { return options_; }
  transport::Traits traits() const { return fabric_->traits(); }

  Result<std::span<std::byte>> allocate(size_t bytes);

  // Starts agreeing on a new epoch; it runs when state() is running again. Asking once more for the
  // same table while agreeing goes on with that agreement. Errors as Worker::register_tensors.
  Status begin_tensors(std::span<const TensorSpec> specs, std::span<void* const> results);
  uint32_t tensor_count() const;
  const TensorSpec& spec(TensorId tensor) const { return placements_.tensors[index_of(tensor)]; }

  // As Worker's; puts start in pump() or poll().
  Result<Operation> push_pull(TensorId tensor, const void* gradient, void* result, Callback done);
  Result<Operation> push(TensorId tensor, const void* gradient, Callback done);
  Result<Operation> pull(TensorId tensor, void* result, Callback done);
  Result<Operation> broadcast(TensorId tensor, void* data, Rank root, Callback done);
  size_t pump() { return state_ == State::running ? rounds_->pump() : 0; }
  std::span<std::byte> result(TensorId tensor) const;

  // The rounds of the epoch; null before the first.
  const Rounds* rounds() const { return rounds_.get(); }

  // Requests: begin, poll until take_reply gives the reply (once). Each id is forgotten by
  // take_reply or forget. The errors are those of a call that cannot be sent now.
  Result<uint64_t> ask_settings(const StepSettings& settings);
  Result<uint64_t> ask_late();
  Result<uint64_t> ask_state(exchange::StateQuery query);
  std::optional<exchange::Body> take_reply(uint64_t id);
  bool has_reply(uint64_t id) const { return replies_.contains(id); }
  void forget(uint64_t id);

  // A barrier that is still open, because its waiter gave up, is what the next call goes on with.
  Result<uint64_t> begin_barrier();
  bool is_barrier_done(uint64_t id) const { return open_barrier_ != id; }

  // failed_precondition: operations are in flight.
  Status begin_leave();

  // Changes when an operation ended, a message came, or the state changed: when to look again.
  uint64_t news() const { return news_ + (rounds_ == nullptr ? 0 : rounds_->ended_count()); }
  // Ends everything with this reason, without telling the hub.
  void abandon(const Status& reason) { fail(reason); }

  // Swaps out the callbacks that are due; the caller runs them, without its locks. REQUIRES:
  // finished is empty.
  void take_finished(std::vector<Finished>* finished) { finished_.swap(*finished); }
  bool has_finished() const { return !finished_.empty(); }
  const WorkerStats& stats() const { return stats_; }

  // Idling: as the fabric's, with the session's descriptor beside it (-1 in simulation).
  bool arm(const Interest& interest);
  void disarm() { fabric_->disarm(); }
  int fabric_fd() const { return fabric_->fd(); }
  int session_fd() const { return channel_->fd(); }
  Instant next_deadline() const;

 private:
  struct Agreement {
    Placements placements;
    exchange::ChunkMap map;
    std::unique_ptr<Rounds> rounds;  // Once the links are there.
  };

  void handle(exchange::Message message);
  void on(exchange::Challenge& challenge);
  void on(exchange::Welcome& welcome);
  void on_offer(exchange::Offer& offer, std::vector<base::Fd> fds);
  void on(exchange::Start& start);
  void on(exchange::Failure& failure);
  Result<std::vector<transport::LinkId>> connect_links(exchange::Offer& offer,
                                                       std::vector<base::Fd> fds,
                                                       exchange::Message* answer);
  transport::LinkOptions link_options(uint32_t shard) const;
  void expect_reply(uint64_t id, exchange::Body body);
  void fail(Status reason);
  void watch_links(Instant now);
  Status check_running(Kind kind, TensorId tensor) const;
  Status check_alive(std::string_view call) const;
  void send(exchange::Body body);

  WorkerOptions options_;
  std::unique_ptr<exchange::SessionChannel> channel_;
  std::unique_ptr<transport::Fabric> fabric_;
  Regions regions_;
  State state_ = State::connecting;
  Status failure_;
  std::string nonce_;
  std::string hub_name_;
  exchange::HubShape shape_;
  uint32_t epoch_ = 0;  // The last started.
  Placements placements_;
  std::unique_ptr<Rounds> rounds_;
  std::optional<Agreement> agreement_;
  std::vector<Finished> finished_;
  WorkerStats stats_;
  uint64_t news_ = 0;
  uint64_t next_id_ = 1;
  uint64_t next_barrier_ = 1;
  std::set<uint64_t> asked_;
  std::map<uint64_t, exchange::Body> replies_;
  uint64_t open_barrier_ = 0;  // 0: none.
  Instant next_session_poll_;
  Instant lost_deadline_{INT64_MAX};  // A lost link is a failure from then on.
};

}  // namespace phub::client
