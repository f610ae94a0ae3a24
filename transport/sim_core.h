// What the parts of the simulator share: time, chance, who is cut off from whom, and who exists.
#pragma once

#include <functional>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "transport/sim.h"

namespace phub::transport {

// Something with an address in the simulated network: a fabric, a wire, one end of a pipe.
class SimEndpoint {
 public:
  SimEndpoint(SimCore& core, NodeId node);
  SimEndpoint(const SimEndpoint&) = delete;
  SimEndpoint& operator=(const SimEndpoint&) = delete;
  virtual ~SimEndpoint();

  NodeId node() const { return node_; }
  uint64_t id() const { return id_; }  // Never reused, never 0.
  bool is_dead() const { return is_dead_; }
  void die() { is_dead_ = true; }
  // Endpoints of `peer` with ids up to `last_id` will never answer again.
  virtual void on_silence(NodeId peer, uint64_t last_id, const std::string& reason) = 0;

 protected:
  SimCore& core_;

 private:
  NodeId node_;
  uint64_t id_ = 0;
  bool is_dead_ = false;
};

class SimCore {
 public:
  explicit SimCore(const SimOptions& options) : options_(options), random_(options.seed) {}

  const SimOptions& options() const { return options_; }
  void set_faults(const Faults& faults) { options_.faults = faults; }
  base::Random& random() { return random_; }

  Instant now() const { return now_; }
  Instant next_event() const { return queue_.empty() ? Instant{INT64_MAX} : queue_.top().when; }
  void at(Instant when, std::function<void()> action);
  bool advance_to_next_event();
  void run_until(Instant when);

  using Arrival = std::function<void(SimEndpoint&)>;
  // Runs `arrival` at endpoint `to` once, after a delay; later if copies are lost or the nodes are
  // cut off; never if the endpoint is gone by then.
  void send_reliably(NodeId from, NodeId to_node, uint64_t to, Arrival arrival);
  // The same, but lost with the given probability, and never during a cut. Perhaps twice.
  void send_unreliably(NodeId from, NodeId to_node, uint64_t to, const Arrival& arrival);
  bool draw_mark() { return options_.faults.mark > 0 && random_.chance(options_.faults.mark); }
  bool draw_duplicate() { return random_.chance(options_.faults.duplicate); }

  void cut(NodeId a, NodeId b);
  void heal(NodeId a, NodeId b);
  void crash(NodeId node);
  void restart(NodeId node) { crashed_.erase(node); }
  bool is_crashed(NodeId node) const { return crashed_.count(node) != 0; }

  uint64_t add(SimEndpoint* endpoint);
  void remove(uint64_t id) { endpoints_.erase(id); }
  SimEndpoint* find(uint64_t id);  // Null: gone or dead.

  void violation(std::string what) { violations_.push_back(std::move(what)); }
  std::span<const std::string> violations() const { return violations_; }

 private:
  struct Event {
    Instant when;
    uint64_t order = 0;  // Equal times: first come, first served.
    std::function<void()> action;
    bool operator<(const Event& other) const {
      return when != other.when ? other.when < when : other.order < order;
    }
  };
  using Pair = std::pair<NodeId, NodeId>;
  struct Cut {
    uint64_t number = 0;
    std::vector<std::function<void()>> held;  // Sent again at heal().
  };

  static Pair pair_of(NodeId a, NodeId b) { return a < b ? Pair{a, b} : Pair{b, a}; }
  uint64_t draw_delay_ns();
  void run_next();
  void tell_silence(NodeId listener, NodeId silent, uint64_t last_id, const std::string& reason);

  SimOptions options_;
  base::Random random_;
  Instant now_{0};
  uint64_t next_order_ = 0;
  uint64_t next_cut_ = 0;
  uint64_t last_endpoint_ = 0;
  std::priority_queue<Event> queue_;
  std::map<uint64_t, SimEndpoint*> endpoints_;  // Ordered: histories must not depend on addresses.
  std::map<Pair, Cut> cuts_;
  std::set<NodeId> crashed_;
  std::vector<std::string> violations_;
};

// "1.5 ms", for reasons and violations.
std::string duration_text(uint64_t ns);

std::unique_ptr<Fabric> make_sim_fabric(SimCore& core, NodeId node);
std::unique_ptr<Wire> make_sim_wire(SimCore& core, NodeId node);
std::pair<std::unique_ptr<SimPipe>, std::unique_ptr<SimPipe>> make_sim_pipe(SimCore& core, NodeId a,
                                                                            NodeId b);

}  // namespace phub::transport
