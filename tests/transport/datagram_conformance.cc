// The datagram fabric over two wires: the simulator's, with heavy loss, repeats and reordering, and
// one without faults that allocates nothing, for the count of allocations. The second also gathers,
// with and without faults: it watches that lent bytes do not change.
#include <array>

#include "tests/transport/conformance.h"
#include "tests/transport/lossy_wire.h"
#include "tests/transport/memory_wire.h"
#include "transport/datagram.h"
#include "transport/sim.h"

namespace phub::transport {
namespace {

DatagramOptions options_of(uint64_t node) {
  return {.link_timeout_ns = 2'000'000'000, .keepalive_ns = 100'000'000, .seed = 100 + node};
}

class LossyPair final : public FabricPair {
 public:
  LossyPair()
      : network_({.seed = 21,
                  .faults = {.loss = 0.2,
                             .duplicate = 0.2,
                             .delay_ns_min = 1'000,
                             .delay_ns_max = 30'000}}),
        acceptor_(network_.make_wire(NodeId{0}), options_of(0)) {
    for (uint32_t i = 0; i < kConnectorCount; ++i) {
      connectors_.push_back(
          std::make_unique<DatagramFabric>(network_.make_wire(NodeId{1 + i}), options_of(1 + i)));
    }
  }
  Fabric& acceptor() override { return acceptor_; }
  Fabric& connector(size_t index) override { return *connectors_[index]; }
  // To the next packet or timer, whichever comes first. Deadlines that have passed are met by the
  // polls that follow, and somebody may not be polled for a while.
  void settle() override {
    Instant next = network_.next_event();
    const auto include = [&](const Fabric& fabric) {
      const Instant deadline = fabric.next_deadline();
      if (deadline > now()) next = std::min(next, deadline);
    };
    include(acceptor_);
    for (const auto& connector : connectors_) include(*connector);
    if (next < Instant{INT64_MAX}) network_.run_until(next);
  }
  Instant now() override { return network_.now(); }
  bool has_descriptor() const override { return false; }
  bool allocates_on_data_path() const override { return true; }  // The simulator below.

 private:
  SimNetwork network_;
  DatagramFabric acceptor_;
  std::vector<std::unique_ptr<DatagramFabric>> connectors_;
};

class QuietPair final : public FabricPair {
 public:
  explicit QuietPair(bool gathers = false, bool is_lossy = false)
      : gathers_(gathers), is_lossy_(is_lossy), acceptor_(make_wire(0), options_of(0)) {
    for (uint32_t i = 0; i < kConnectorCount; ++i) {
      connectors_.push_back(std::make_unique<DatagramFabric>(make_wire(1 + i), options_of(1 + i)));
    }
  }
  Fabric& acceptor() override { return acceptor_; }
  Fabric& connector(size_t index) override { return *connectors_[index]; }
  void settle() override { now_.ns += 10'000; }
  Instant now() override { return now_; }
  bool has_descriptor() const override { return false; }
  bool allocates_on_data_path() const override { return is_lossy_; }  // Losing is the test's.

 private:
  std::unique_ptr<Wire> make_wire(uint32_t index) {
    auto wire = std::make_unique<MemoryWire>(hub_, index, gathers_);
    if (!is_lossy_) return wire;
    return std::make_unique<LossyWire>(std::move(wire), 7 + index, WireFaults{0.1, 0.1, 0.1});
  }

  bool gathers_;
  bool is_lossy_;
  MemoryWire::Hub hub_{1 + kConnectorCount};
  Instant now_{0};
  DatagramFabric acceptor_;
  std::vector<std::unique_ptr<DatagramFabric>> connectors_;
};

INSTANTIATE_FABRIC_CONFORMANCE(
    datagram_lossy, [] { return std::make_unique<LossyPair>(); }, "");
INSTANTIATE_FABRIC_CONFORMANCE(
    datagram_quiet, [] { return std::make_unique<QuietPair>(); }, "");
INSTANTIATE_FABRIC_CONFORMANCE(
    datagram_gather, [] { return std::make_unique<QuietPair>(true); }, "");
INSTANTIATE_FABRIC_CONFORMANCE(
    datagram_gather_lossy, [] { return std::make_unique<QuietPair>(true, true); }, "");

}  // namespace
}  // namespace phub::transport
