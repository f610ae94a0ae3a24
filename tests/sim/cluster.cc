#include "tests/sim/cluster.h"

#include <map>

#include "exchange/session_codec.h"
#include "tests/sim/pipe_channel.h"
#include "transport/datagram.h"

namespace phub::sim {

// The hub's ends of all sessions.
class Cluster::Port : public hub::SessionPort {
 public:
  void add(hub::SessionId id, std::unique_ptr<transport::SimPipe> pipe) {
    pipes_[id] = std::move(pipe);
  }
  void send(hub::SessionId id, exchange::Message message) override {
    const auto found = pipes_.find(id);
    if (found != pipes_.end()) found->second->send(recoded(std::move(message)));
  }
  void close(hub::SessionId id) override {
    const auto found = pipes_.find(id);
    if (found == pipes_.end()) return;
    found->second->close();
    pipes_.erase(found);
  }
  void trust(hub::SessionId) override {}

  size_t deliver(hub::Control& control) {
    size_t count = 0;
    std::vector<hub::SessionId> ids;
    for (const auto& [id, pipe] : pipes_) ids.push_back(id);
    for (const hub::SessionId id : ids) {
      while (pipes_.contains(id)) {
        std::optional<std::shared_ptr<void>> message = pipes_[id]->receive();
        if (!message.has_value()) break;
        ++count;
        control.on_message(
            id, std::move(*std::static_pointer_cast<exchange::Message>(std::move(*message))));
      }
      if (!pipes_.contains(id) || pipes_[id]->state().ok()) continue;
      const Status reason = pipes_[id]->state();
      pipes_.erase(id);
      control.on_close(id, reason);
      ++count;
    }
    return count;
  }

 private:
  std::map<hub::SessionId, std::unique_ptr<transport::SimPipe>> pipes_;
};

Cluster::Cluster(const ClusterOptions& options)
    : options_(options),
      network_({.seed = options.seed, .faults = options.faults, .traits = options.traits}),
      port_(std::make_unique<Port>()) {
  std::vector<hub::Shard*> shards;
  hub::ControlOptions control;
  control.name = "simulated hub";
  control.fabric_names = {options.over_datagram ? "datagram" : "sim"};
  for (uint32_t i = 0; i < options.shard_count; ++i) {
    std::vector<std::unique_ptr<transport::Fabric>> fabrics;
    fabrics.push_back(make_fabric(NodeId{kHubNode}));
    shards_.push_back(std::make_unique<hub::Shard>(
        i, std::move(fabrics), kernels::Stores::non_temporal, [this](const hub::RankFault& fault) {
          control_->tasks().post([this, fault] { control_->on_rank_fault(fault); });
        }));
    shards.push_back(shards_.back().get());
    control.shape.shards.push_back({0, -1});
  }
  control_ = std::make_unique<hub::Control>(std::move(control), shards, port_.get());
}

Cluster::~Cluster() = default;

std::unique_ptr<transport::Fabric> Cluster::make_fabric(NodeId node) {
  if (!options_.over_datagram) return network_.make_fabric(node);
  transport::DatagramOptions options;
  options.seed = options_.seed + 1;
  return std::make_unique<transport::DatagramFabric>(network_.make_wire(node), options);
}

size_t Cluster::start_job(const JobPlan& plan) {
  std::vector<std::unique_ptr<Trainer>> trainers;
  for (uint32_t rank = 0; rank < plan.rank_count; ++rank) {
    const NodeId node{next_node_++};
    auto [hub_end, worker_end] = network_.make_pipe(NodeId{kHubNode}, node);
    const hub::SessionId id{static_cast<uint64_t>(node)};
    port_->add(id, std::move(hub_end));
    control_->on_open(id);
    WorkerOptions options;
    options.job.name = plan.name;
    options.job.secret = "open sesame";
    options.job.rank_count = plan.rank_count;
    options.job.chunk_elements = plan.chunk_elements;
    options.rank = Rank{static_cast<uint16_t>(rank)};
    auto client = std::make_unique<client::Client>(
        options,
        client::Identity{1000 + rank, "node" + std::to_string(static_cast<uint32_t>(node))},
        std::make_unique<PipeChannel>(std::move(worker_end)), make_fabric(node));
    trainers.push_back(std::make_unique<Trainer>(plan, rank, node, std::move(client)));
  }
  jobs_.push_back(std::move(trainers));
  return jobs_.size() - 1;
}

size_t Cluster::poll_all() {
  const Instant now = network_.now();
  size_t work = 0;
  if (is_hub_alive_) {
    work += port_->deliver(*control_);
    work += control_->poll(now);
    for (const std::unique_ptr<hub::Shard>& shard : shards_) work += shard->poll(now);
  }
  for (const auto& job : jobs_) {
    for (const std::unique_ptr<Trainer>& trainer : job) {
      if (!trainer->is_crashed) work += trainer->poll(now);
    }
  }
  return work;
}

bool Cluster::run(double seconds) {
  const Instant deadline{network_.now().ns + static_cast<int64_t>(seconds * 1e9)};
  while (network_.now() < deadline) {
    while (poll_all() > 0) {
    }
    bool has_ended = true;
    Instant next = network_.next_event();
    for (const auto& job : jobs_) {
      for (const std::unique_ptr<Trainer>& trainer : job) {
        has_ended &= trainer->has_ended();
        if (!trainer->is_crashed) next = std::min(next, trainer->client().next_deadline());
      }
    }
    if (has_ended) return true;
    for (const std::unique_ptr<hub::Shard>& shard : shards_) {
      next = std::min(next, shard->fabric(0).next_deadline());
    }
    if (next.ns == INT64_MAX) return false;  // Nothing will ever happen again.
    network_.run_until(std::max(next, Instant{network_.now().ns + 1}));
  }
  return false;
}

void Cluster::after(uint64_t delay_ns, std::function<void()> action) {
  network_.at(Instant{network_.now().ns + static_cast<int64_t>(delay_ns)}, std::move(action));
}

void Cluster::crash_rank(size_t job, uint32_t rank) {
  Trainer& trainer = *jobs_[job][rank];
  if (trainer.is_done() || trainer.is_crashed) return;
  trainer.is_crashed = true;
  network_.crash(trainer.node());
}

void Cluster::crash_hub() {
  is_hub_alive_ = false;
  network_.crash(NodeId{kHubNode});
}

std::string Cluster::describe() const {
  std::string text = "at " + std::to_string(network_.now().ns) + " ns";
  for (const auto& job : jobs_) {
    for (const std::unique_ptr<Trainer>& trainer : job) {
      text += "\n  " + std::string(client::to_string(trainer->client().state())) + ", round " +
              std::to_string(trainer->rounds_done());
    }
  }
  return text;
}

uint64_t Cluster::duplicates() const {
  uint64_t count = 0;
  for (const std::unique_ptr<hub::Shard>& shard : shards_) {
    count += shard->counters().duplicates.get() + shard->counters().stale.get();
  }
  return count;
}

}  // namespace phub::sim
