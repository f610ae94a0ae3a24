// SimNetwork: a network in one process, with simulated time and seeded faults.
//
// Nodes are numbers; a node is one simulated process. The network makes, for a node, the same
// things that real code gets from the operating system, and everything runs in the caller's thread:
//
//   SimNetwork network({.seed = 7, .faults = {.loss = 0.1, .duplicate = 0.1}});
//   auto hub = network.make_fabric(NodeId{0});
//   auto worker = network.make_fabric(NodeId{1});
//   ...                                            // open, connect, accept, put
//   while (network.advance_to_next_event()) poll_everything(network.now());
//
// Time moves only by advance_to_next_event() and run_until(), from one event to the next: a
// simulated second costs only the events in it (O(log pending) each). Equal seeds and equal calls
// give equal histories.
//
// REQUIRES: the network outlives everything that it made.
// Thread-safety: none.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/clock.h"
#include "transport/fabric.h"
#include "transport/wire.h"

namespace phub::transport {

enum class NodeId : uint32_t {};

struct Faults {
  // Probability that a message vanishes. Fabrics and pipes are reliable: there it costs
  // SimOptions::retransmit_ns, once per loss.
  double loss = 0;
  double duplicate = 0;  // Probability that a message comes twice (fabrics and wires).
  double mark = 0;       // Probability that a packet comes with a mark of congestion (wires).
  uint64_t delay_ns_min = 1000;
  uint64_t delay_ns_max = 1000;  // delay_ns_max > delay_ns_min reorders messages.
};

struct SimOptions {
  uint64_t seed = 1;
  Faults faults = {};
  Traits traits = {};  // What its fabrics can do: every combination is possible.
  uint64_t retransmit_ns = 20'000;
  uint64_t crash_detection_ns = 1'000'000;      // From a crash until its peers know.
  uint64_t silence_detection_ns = 100'000'000;  // From a cut until both sides give up.
  size_t mtu = 1500;                            // Of its wires.
  size_t wire_queue_packets = 4096;  // Packets that wait at a wire's receiver; more are dropped.
};

// One end of a reliable, ordered connection that carries any message: sessions in simulation.
//
// A message is a shared_ptr<void>; both ends agree what it points to:
//   end.send(std::make_shared<Message>(std::move(message)));
//   auto message = std::static_pointer_cast<Message>(*end.receive());
class SimPipe {
 public:
  virtual ~SimPipe() = default;  // Closes.
  // After the end, messages are dropped.
  virtual void send(std::shared_ptr<void> message) = 0;
  virtual std::optional<std::shared_ptr<void>> receive() = 0;
  // unavailable: the other end closed, crashed or is cut off; the message says which. What came
  // before the end can still be received.
  virtual Status state() const = 0;
  virtual void close() = 0;
};

class SimCore;

class SimNetwork {
 public:
  explicit SimNetwork(const SimOptions& options);
  ~SimNetwork();
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  Instant now() const;
  Instant next_event() const;  // INT64_MAX when nothing is pending.
  // Moves to the next event and does all that is due then. False: nothing is pending.
  bool advance_to_next_event();
  // Does all events up to `when` in order; then now() == when.
  void run_until(Instant when);
  // Calls `action` at `when`: for faults by script.
  void at(Instant when, std::function<void()> action);

  // REQUIRES: the node is not crashed. A node may have several of each.
  std::unique_ptr<Fabric> make_fabric(NodeId node);
  std::unique_ptr<Wire> make_wire(NodeId node);
  std::pair<std::unique_ptr<SimPipe>, std::unique_ptr<SimPipe>> make_pipe(NodeId a, NodeId b);

  void set_faults(const Faults& faults);
  // Nothing passes between a and b until heal(). A wire drops; fabrics and pipes hold back, and
  // report the loss when the cut lasts silence_detection_ns.
  void cut(NodeId a, NodeId b);
  void heal(NodeId a, NodeId b);
  // All that the node made goes silent for good: puts vanish, polls find nothing. What is already
  // on its way still arrives. Peers are told after crash_detection_ns.
  void crash(NodeId node);
  void restart(NodeId node);  // The node may make new things.

  // Breaches of the Fabric contract by its callers: bytes changed while borrowed, a payload
  // overwritten before its release, a release too many, a put from foreign memory. Empty: none.
  std::span<const std::string> violations() const;

 private:
  std::unique_ptr<SimCore> core_;
};

}  // namespace phub::transport
