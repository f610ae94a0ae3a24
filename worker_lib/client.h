// The worker's side of the protocol: the sessions' state machine around the rounds of an epoch.
//
//   connecting -> idle -> agreeing -> running (-> agreeing ...) -> leaving -> left
//                                 any of them -> failed
//
// A job may have several hubs; each step is taken when all of them have. One that is lost fails the
// client, which tells the other hubs why, so that every rank hears which hub it was. Barriers are
// the first hub's.
// Polled and told the time: no threads, no clocks, no waiting, so a cluster of clients runs in one
// thread of a simulation. driver.h and impl.h make it the thread-safe, blocking Worker.
// Thread-safety: none.
#pragma once

#include <phub/status.h>
#include <phub/worker.h>

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "exchange/session_channel.h"
#include "transport/fabric.h"
#include "worker_lib/hub_session.h"
#include "worker_lib/regions.h"
#include "worker_lib/replies.h"
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
  // Says hello to every hub at once. REQUIRES: options passed check_options(); at least one hub;
  // channels and fabrics are fresh, and at most one fabric is by reference.
  Client(WorkerOptions options, const Identity& identity, std::vector<HubSession> hubs,
         std::vector<std::unique_ptr<transport::Fabric>> fabrics);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Handles what has come by `now`; returns how much. While running, the session is looked at every
  // 100 us only: it may cost a system call.
  size_t poll(Instant now);
  size_t poll_session(Instant now);

  State state() const { return state_; }
  const Status& failure() const { return failure_; }  // Why, when failed.
  const WorkerOptions& options() const { return options_; }
  // "hub tcp://10.0.0.7:7077", "hub A and hub B": who has not answered request `id`, or, for 0, has
  // not welcomed this rank, or not let it go.
  std::string silent_hubs(uint64_t id) const;

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

  // Requests go to every hub: begin, poll until has_reply, take_reply (once) what they make
  // together. Each id is forgotten by take_reply or forget. The errors are those of a call that
  // cannot be sent now.
  Result<uint64_t> ask_settings(const StepSettings& settings);
  Result<uint64_t> ask_late();
  Result<uint64_t> ask_state(exchange::StateQuery query);
  std::optional<exchange::Body> take_reply(uint64_t id);
  // Who is late, by what has been answered so far; names the hubs that have not.
  std::string take_late_text(uint64_t id);
  bool has_reply(uint64_t id) const;
  void forget(uint64_t id) { requests_.erase(id); }

  // A barrier that is still open, because its waiter gave up, is what the next call goes on with.
  Result<uint64_t> begin_barrier();
  bool is_barrier_done(uint64_t id) const { return open_barrier_ != id; }

  // failed_precondition: operations are in flight.
  Status begin_leave();

  // Changes when an operation ended, a message came, or the state changed: when to look again.
  uint64_t news() const { return news_ + (rounds_ == nullptr ? 0 : rounds_->ended_count()); }
  // Ends everything with this reason, without telling the hubs.
  void abandon(const Status& reason) { end(reason); }

  // Swaps out the callbacks that are due; the caller runs them, without its locks. REQUIRES:
  // finished is empty.
  void take_finished(std::vector<Finished>* finished) { finished_.swap(*finished); }
  bool has_finished() const { return !finished_.empty(); }
  const WorkerStats& stats() const { return stats_; }

  // Idling: as the fabrics', with the sessions' descriptors beside theirs (-1 in simulation).
  bool arm(const Interest& interest);
  void disarm();
  size_t hub_count() const { return hubs_.size(); }
  // -1: nothing of interest comes from this hub any more.
  int session_fd(size_t hub) const { return hubs_[hub].has_left ? -1 : hubs_[hub].channel->fd(); }
  size_t fabric_count() const { return fabrics_.size(); }
  int fabric_fd(size_t fabric) const { return fabrics_[fabric]->fd(); }
  Instant next_deadline() const;

 private:
  struct Agreement {
    Placements placements;
    exchange::ChunkMap map;
    std::vector<ShardLink> links;    // By shard; of the hubs that have offered theirs.
    std::unique_ptr<Rounds> rounds;  // Once all links are there.
  };

  size_t poll_hub(uint32_t hub, Instant now);
  size_t poll_links(Instant now);
  void on_early_loss(uint32_t fabric, transport::LinkId link);
  void handle(uint32_t hub, exchange::Message message);
  void on(uint32_t hub, exchange::Challenge& challenge);
  void on(uint32_t hub, exchange::Welcome& welcome);
  void on_offer(uint32_t hub, exchange::Offer& offer, std::vector<base::Fd> fds);
  void on(uint32_t hub, exchange::Start& start);
  void on(uint32_t hub, exchange::Failure& failure);
  void on(uint32_t hub, exchange::Left& left);
  Status check_offer(const HubSession& hub, const exchange::Offer& offer) const;
  void propose_to_all(const exchange::Tensors& tensors);
  void close_links(exchange::ShardRange shards);
  Status connect_links(uint32_t hub, exchange::Offer& offer, std::vector<base::Fd> fds,
                       exchange::Message* answer);
  transport::LinkOptions link_options(uint32_t hub, uint32_t shard) const;
  std::string link_name(uint32_t hub, uint32_t shard) const;
  // Begins a request to all hubs.
  uint64_t ask(exchange::Body body);
  void on_reply(uint32_t hub, uint64_t id, exchange::Body body);
  // Ends everything; tells all hubs but `culprit`.
  static constexpr uint32_t kNoHub = UINT32_MAX;
  void fail(Status reason, uint32_t culprit = kNoHub);
  void end(Status reason);
  void await_reason(Instant now);
  Status check_running(Kind kind, TensorId tensor) const;
  Status check_alive(std::string_view call) const;
  bool all_hubs(bool (*is_true)(const HubSession&)) const;
  void send_to_all(const exchange::Body& body);

  WorkerOptions options_;
  std::vector<HubSession> hubs_;
  std::vector<std::unique_ptr<transport::Fabric>> fabrics_;
  Regions regions_;
  State state_ = State::connecting;
  Status failure_;
  exchange::HubShape shape_;      // Of all hubs, once all have welcomed this rank.
  uint32_t epoch_ = 0;            // The last started.
  std::vector<ShardLink> links_;  // Of that epoch, by shard; a hub's go when it offers new ones.
  Placements placements_;
  std::unique_ptr<Rounds> rounds_;
  std::optional<Agreement> agreement_;
  std::vector<Finished> finished_;
  WorkerStats stats_;
  uint64_t news_ = 0;
  uint64_t next_id_ = 1;
  uint64_t next_barrier_ = 1;
  std::map<uint64_t, Request> requests_;
  uint64_t open_barrier_ = 0;  // 0: none.
  Instant next_session_poll_;
  Status suspicion_;  // A link that is lost or cannot be made: a failure from the deadline on,
  Instant reason_deadline_{INT64_MAX};  // unless a hub says better why.
};

}  // namespace phub::client
