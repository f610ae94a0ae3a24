// A whole cluster in one thread: hubs, workers, network, time. One seed, one life.
//
// The hubs' shards and control plane and the workers' clients are the production classes; only the
// network and the clock are simulated. Every session message passes through the real codec.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "phub/control.h"
#include "phub/shard.h"
#include "transport/sim.h"
#include "worker_lib/client.h"

namespace phub::sim {

using base::Instant;
using transport::NodeId;

// A training loop in small: registers tensors, runs rounds, checks every result exactly.
struct JobPlan {
  std::string name = "job";
  uint32_t rank_count = 2;
  uint32_t rounds = 3;
  uint32_t chunk_elements = 64;
  std::vector<TensorSpec> tensors;
  // The last rank leaves cleanly after this many rounds; 0: nobody leaves early.
  uint32_t last_rank_leaves_after = 0;
  // New tensors, by a new epoch, after half of the rounds; empty: none.
  std::vector<TensorSpec> later_tensors;
  bool last_rank_reverses_hubs = false;  // A mistake of whoever started it.
  bool exits_on_failure = false;         // As a process does: its sessions and links close.
};

struct ClusterOptions {
  uint64_t seed = 1;
  uint32_t hub_count = 1;    // Every job is over all of them.
  uint32_t shard_count = 2;  // Of each hub.
  transport::Faults faults = {};
  transport::Traits traits = {};
  bool over_datagram = false;  // Fabrics are transport/datagram over a wire that loses packets.
};

class Trainer;

class Cluster {
 public:
  explicit Cluster(const ClusterOptions& options);
  ~Cluster();

  // Starts a process for every rank of the job, each on a node of its own; returns the job's index.
  size_t start_job(const JobPlan& plan);
  // Runs until every trainer has ended or nothing can happen any more. False: it hangs, or took
  // more than `seconds` of simulated time.
  bool run(double seconds);
  // Runs `action` after `delay_ns` of simulated time.
  void after(uint64_t delay_ns, std::function<void()> action);
  void crash_rank(size_t job, uint32_t rank);
  void crash_hub(uint32_t hub = 0);

  const std::vector<std::unique_ptr<Trainer>>& trainers(size_t job) const { return jobs_[job]; }
  hub::Control& control(uint32_t hub = 0) { return *hubs_[hub].control; }
  std::span<const std::string> violations() const { return network_.violations(); }
  uint64_t duplicates() const;
  // Where every trainer stands: for the message when a cluster hangs.
  std::string describe() const;

 private:
  class Port;
  struct Hub {
    std::unique_ptr<Port> port;
    std::vector<std::unique_ptr<hub::Shard>> shards;
    std::unique_ptr<hub::Control> control;
    bool is_alive = true;
  };
  std::unique_ptr<transport::Fabric> make_fabric(NodeId node);
  void start_hub(uint32_t index);
  std::unique_ptr<client::Client> make_client(const JobPlan& plan, uint32_t rank, NodeId node);
  size_t poll_all();

  ClusterOptions options_;
  transport::SimNetwork network_;
  std::vector<Hub> hubs_;  // On the nodes from 0 on.
  uint32_t next_node_ = 0;
  std::vector<std::vector<std::unique_ptr<Trainer>>> jobs_;
};

// One rank: a client and what it does. Ended when done() or failed.
class Trainer {
 public:
  Trainer(const JobPlan& plan, uint32_t rank, NodeId node, std::unique_ptr<client::Client> client);

  size_t poll(Instant now);
  bool is_done() const { return is_done_; }
  bool has_ended() const {
    return is_done_ || is_crashed || client_ == nullptr ||
           client_->state() == client::State::failed;
  }
  const Status& failure() const { return client_ == nullptr ? failure_ : client_->failure(); }
  uint32_t rounds_done() const { return round_; }
  uint64_t wrong() const { return wrong_; }
  client::Client* client() { return client_.get(); }  // Null: it has failed and exited.
  NodeId node() const { return node_; }
  bool is_crashed = false;
  bool is_computing = false;  // Looks at nothing meanwhile.

 private:
  void agree();
  void start_round();
  bool finish_round();
  void check(uint32_t tensor);
  uint32_t contributors() const;

  const JobPlan plan_;
  const uint32_t rank_;
  const NodeId node_;
  std::unique_ptr<client::Client> client_;
  Status failure_;
  std::vector<TensorSpec> tensors_;
  std::vector<std::span<std::byte>> gradients_;
  std::vector<Operation> started_;
  uint32_t round_ = 0;
  bool is_in_round_ = false;
  bool has_agreed_ = false;
  bool has_grown_ = false;
  bool is_leaving_ = false;
  bool is_done_ = false;
  uint64_t wrong_ = 0;
};

}  // namespace phub::sim
