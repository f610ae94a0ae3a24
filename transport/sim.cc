#include "transport/sim.h"

#include "base/check.h"
#include "transport/sim_core.h"

namespace phub::transport {

SimEndpoint::SimEndpoint(SimCore& core, NodeId node)
    : core_(core), node_(node), id_(core.add(this)) {
  PHUB_CHECK(!core.is_crashed(node));
}

SimEndpoint::~SimEndpoint() { core_.remove(id_); }

uint64_t SimCore::add(SimEndpoint* endpoint) {
  endpoints_.emplace(++last_endpoint_, endpoint);
  return last_endpoint_;
}

SimEndpoint* SimCore::find(uint64_t id) {
  const auto found = endpoints_.find(id);
  return found == endpoints_.end() || found->second->is_dead() ? nullptr : found->second;
}

void SimCore::at(Instant when, std::function<void()> action) {
  queue_.push({std::max(when, now_), next_order_++, std::move(action)});
}

void SimCore::run_next() {
  // top() is const only to protect the order, which does not depend on the action.
  std::function<void()> action = std::move(const_cast<Event&>(queue_.top()).action);
  now_ = queue_.top().when;
  queue_.pop();
  action();
}

bool SimCore::advance_to_next_event() {
  if (queue_.empty()) return false;
  const Instant when = queue_.top().when;
  // What these events schedule for the same instant waits for the next call: a zero delay must not
  // keep the callers from being polled.
  const uint64_t end = next_order_;
  while (!queue_.empty() && queue_.top().when == when && queue_.top().order < end) run_next();
  return true;
}

void SimCore::run_until(Instant when) {
  while (!queue_.empty() && queue_.top().when <= when) run_next();
  now_ = std::max(now_, when);
}

uint64_t SimCore::draw_delay_ns() {
  const Faults& faults = options_.faults;
  PHUB_CHECK(faults.delay_ns_min <= faults.delay_ns_max);
  return faults.delay_ns_min + random_.below(faults.delay_ns_max - faults.delay_ns_min + 1);
}

void SimCore::send_reliably(NodeId from, NodeId to_node, uint64_t to, Arrival arrival) {
  uint64_t delay_ns = draw_delay_ns();
  while (random_.chance(options_.faults.loss)) delay_ns += options_.retransmit_ns;
  at(now_ + std::chrono::nanoseconds(delay_ns),
     [this, from, to_node, to, arrival = std::move(arrival)]() mutable {
       const auto cut = cuts_.find(pair_of(from, to_node));
       if (cut != cuts_.end()) {
         cut->second.held.push_back([this, from, to_node, to, arrival = std::move(arrival)] {
           send_reliably(from, to_node, to, arrival);
         });
         return;
       }
       if (SimEndpoint* const endpoint = find(to)) arrival(*endpoint);
     });
}

void SimCore::send_unreliably(NodeId from, NodeId to_node, uint64_t to, const Arrival& arrival) {
  const int copies = draw_duplicate() ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    if (random_.chance(options_.faults.loss)) continue;
    at(now_ + std::chrono::nanoseconds(draw_delay_ns()), [this, from, to_node, to, arrival] {
      if (cuts_.count(pair_of(from, to_node)) != 0) return;
      if (SimEndpoint* const endpoint = find(to)) arrival(*endpoint);
    });
  }
}

void SimCore::tell_silence(NodeId listener, NodeId silent, uint64_t last_id,
                           const std::string& reason) {
  for (const auto& [id, endpoint] : endpoints_) {
    if (endpoint->node() == listener && !endpoint->is_dead()) {
      endpoint->on_silence(silent, last_id, reason);
    }
  }
}

void SimCore::cut(NodeId a, NodeId b) {
  const auto [cut, is_new] = cuts_.try_emplace(pair_of(a, b));
  if (!is_new) return;
  cut->second.number = ++next_cut_;
  const uint64_t silence_ns = options_.silence_detection_ns;
  at(now_ + std::chrono::nanoseconds(silence_ns), [this, a, b, number = next_cut_, silence_ns] {
    const auto still = cuts_.find(pair_of(a, b));
    if (still == cuts_.end() || still->second.number != number) return;
    const std::string text = " has not answered for " + duration_text(silence_ns);
    tell_silence(a, b, last_endpoint_, "node " + std::to_string(static_cast<uint32_t>(b)) + text);
    tell_silence(b, a, last_endpoint_, "node " + std::to_string(static_cast<uint32_t>(a)) + text);
  });
}

void SimCore::heal(NodeId a, NodeId b) {
  const auto cut = cuts_.find(pair_of(a, b));
  if (cut == cuts_.end()) return;
  const std::vector<std::function<void()>> held = std::move(cut->second.held);
  cuts_.erase(cut);
  for (const std::function<void()>& send_again : held) send_again();
}

void SimCore::crash(NodeId node) {
  crashed_.insert(node);
  for (const auto& [id, endpoint] : endpoints_) {
    if (endpoint->node() == node) endpoint->die();
  }
  const uint64_t detection_ns = options_.crash_detection_ns;
  at(now_ + std::chrono::nanoseconds(detection_ns),
     [this, node, last_id = last_endpoint_, detection_ns] {
       const std::string reason = "node " + std::to_string(static_cast<uint32_t>(node)) +
                                  " crashed " + duration_text(detection_ns) + " ago";
       std::set<NodeId> listeners;
       for (const auto& [id, endpoint] : endpoints_) listeners.insert(endpoint->node());
       for (const NodeId listener : listeners) tell_silence(listener, node, last_id, reason);
     });
}

std::string duration_text(uint64_t ns) {
  const bool is_ms = ns >= 1'000'000;
  const uint64_t tenths = ns / (is_ms ? 100'000 : 100);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + (is_ms ? " ms" : " us");
}

SimNetwork::SimNetwork(const SimOptions& options) : core_(std::make_unique<SimCore>(options)) {}
SimNetwork::~SimNetwork() = default;
Instant SimNetwork::now() const { return core_->now(); }
Instant SimNetwork::next_event() const { return core_->next_event(); }
bool SimNetwork::advance_to_next_event() { return core_->advance_to_next_event(); }
void SimNetwork::run_until(Instant when) { core_->run_until(when); }
void SimNetwork::at(Instant when, std::function<void()> action) {
  core_->at(when, std::move(action));
}
std::unique_ptr<Fabric> SimNetwork::make_fabric(NodeId node) {
  return make_sim_fabric(*core_, node);
}
std::unique_ptr<Wire> SimNetwork::make_wire(NodeId node) { return make_sim_wire(*core_, node); }
std::pair<std::unique_ptr<SimPipe>, std::unique_ptr<SimPipe>> SimNetwork::make_pipe(NodeId a,
                                                                                    NodeId b) {
  return make_sim_pipe(*core_, a, b);
}
void SimNetwork::set_faults(const Faults& faults) { core_->set_faults(faults); }
void SimNetwork::cut(NodeId a, NodeId b) { core_->cut(a, b); }
void SimNetwork::heal(NodeId a, NodeId b) { core_->heal(a, b); }
void SimNetwork::crash(NodeId node) { core_->crash(node); }
void SimNetwork::restart(NodeId node) { core_->restart(node); }
std::span<const std::string> SimNetwork::violations() const { return core_->violations(); }

}  // namespace phub::transport
