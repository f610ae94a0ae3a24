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
      hubs_(options.hub_count),
      next_node_(options.hub_count) {
  for (uint32_t i = 0; i < hubs_.size(); ++i) start_hub(i);
}

Cluster::~Cluster() = default;

void Cluster::start_hub(uint32_t index) {
  Hub& hub = hubs_[index];
  hub.port = std::make_unique<Port>();
  std::vector<hub::Shard*> shards;
  hub::ControlOptions control;
  control.name = "simulated hub " + std::to_string(index);
  control.fabric_names = {options_.over_datagram ? "sim-wire" : "sim"};
  for (uint32_t i = 0; i < options_.shard_count; ++i) {
    std::vector<std::unique_ptr<transport::Fabric>> fabrics;
    fabrics.push_back(make_fabric(NodeId{index}));
    hub.shards.push_back(std::make_unique<hub::Shard>(
        i, std::move(fabrics), kernels::Stores::non_temporal, [&hub](const hub::RankFault& fault) {
          hub.control->tasks().post([&hub, fault] { hub.control->on_rank_fault(fault); });
        }));
    shards.push_back(hub.shards.back().get());
    control.shape.shards.push_back({0, -1});
  }
  hub.control = std::make_unique<hub::Control>(std::move(control), shards, hub.port.get());
}

std::unique_ptr<transport::Fabric> Cluster::make_fabric(NodeId node) {
  if (!options_.over_datagram) return network_.make_fabric(node);
  transport::DatagramOptions options;
  options.seed = options_.seed + 1;
  return std::make_unique<transport::DatagramFabric>(network_.make_wire(node), options);
}

// One fabric for all hubs where they read the worker's memory, else one for each, as a Worker has.
std::unique_ptr<client::Client> Cluster::make_client(const JobPlan& plan, uint32_t rank,
                                                     NodeId node) {
  std::vector<client::HubSession> sessions;
  std::vector<std::unique_ptr<transport::Fabric>> fabrics;
  const bool is_reversed = plan.last_rank_reverses_hubs && rank + 1 == plan.rank_count;
  const auto hub_count = static_cast<uint32_t>(hubs_.size());
  for (uint32_t place = 0; place < hub_count; ++place) {
    const uint32_t i = is_reversed ? hub_count - 1 - place : place;
    auto [hub_end, worker_end] = network_.make_pipe(NodeId{i}, node);
    const hub::SessionId id{static_cast<uint64_t>(node)};
    hubs_[i].port->add(id, std::move(hub_end));
    hubs_[i].control->on_open(id);
    if (fabrics.empty() || !options_.traits.by_reference) fabrics.push_back(make_fabric(node));
    sessions.push_back({"sim://" + std::to_string(i),
                        std::make_unique<PipeChannel>(std::move(worker_end)),
                        static_cast<uint32_t>(fabrics.size() - 1)});
  }
  WorkerOptions options;
  options.job.name = plan.name;
  options.job.secret = "open sesame";
  options.job.rank_count = plan.rank_count;
  options.job.chunk_elements = plan.chunk_elements;
  options.rank = Rank{static_cast<uint16_t>(rank)};
  const client::Identity identity{1000 + rank,
                                  "node" + std::to_string(static_cast<uint32_t>(node))};
  return std::make_unique<client::Client>(options, identity, std::move(sessions),
                                          std::move(fabrics));
}

size_t Cluster::start_job(const JobPlan& plan) {
  std::vector<std::unique_ptr<Trainer>> trainers;
  for (uint32_t rank = 0; rank < plan.rank_count; ++rank) {
    const NodeId node{next_node_++};
    trainers.push_back(std::make_unique<Trainer>(plan, rank, node, make_client(plan, rank, node)));
  }
  jobs_.push_back(std::move(trainers));
  return jobs_.size() - 1;
}

size_t Cluster::poll_all() {
  const Instant now = network_.now();
  size_t work = 0;
  for (const Hub& hub : hubs_) {
    if (!hub.is_alive) continue;
    work += hub.port->deliver(*hub.control);
    work += hub.control->poll(now);
    for (const std::unique_ptr<hub::Shard>& shard : hub.shards) work += shard->poll(now);
  }
  for (const auto& job : jobs_) {
    for (const std::unique_ptr<Trainer>& trainer : job) {
      if (!trainer->is_crashed && !trainer->is_computing) work += trainer->poll(now);
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
        if (trainer->is_crashed || trainer->is_computing || trainer->client() == nullptr) continue;
        next = std::min(next, trainer->client()->next_deadline());
      }
    }
    if (has_ended) return true;
    for (const Hub& hub : hubs_) {
      if (hub.is_alive) next = std::min(next, hub.control->next_deadline());
      for (const std::unique_ptr<hub::Shard>& shard : hub.shards) {
        next = std::min(next, shard->fabric(0).next_deadline());
      }
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

void Cluster::crash_hub(uint32_t hub) {
  hubs_[hub].is_alive = false;
  network_.crash(NodeId{hub});
}

std::string Cluster::describe() const {
  std::string text = "at " + std::to_string(network_.now().ns) + " ns";
  for (const auto& job : jobs_) {
    for (const std::unique_ptr<Trainer>& trainer : job) {
      const client::State state =
          trainer->client() == nullptr ? client::State::failed : trainer->client()->state();
      text += "\n  " + std::string(client::to_string(state)) + ", round " +
              std::to_string(trainer->rounds_done());
    }
  }
  return text;
}

uint64_t Cluster::duplicates() const {
  uint64_t count = 0;
  for (const Hub& hub : hubs_) {
    for (const std::unique_ptr<hub::Shard>& shard : hub.shards) {
      count += shard->counters().duplicates.get() + shard->counters().stale.get();
    }
  }
  return count;
}

}  // namespace phub::sim
