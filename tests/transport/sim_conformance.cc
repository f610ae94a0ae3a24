// The simulated fabric in its four shapes, with repeats and reordering.
#include "tests/transport/conformance.h"
#include "transport/sim.h"

namespace phub::transport {
namespace {

class SimPair final : public FabricPair {
 public:
  explicit SimPair(Traits traits)
      : network_(
            {.seed = 13,
             .faults = {.loss = 0.1, .duplicate = 0.3, .delay_ns_min = 100, .delay_ns_max = 20'000},
             .traits = traits}),
        acceptor_(network_.make_fabric(NodeId{0})) {
    for (uint32_t i = 0; i < kConnectorCount; ++i) {
      connectors_.push_back(network_.make_fabric(NodeId{1 + i}));
    }
  }
  Fabric& acceptor() override { return *acceptor_; }
  Fabric& connector(size_t index) override { return *connectors_[index]; }
  void settle() override { network_.advance_to_next_event(); }
  Instant now() override { return network_.now(); }
  bool has_descriptor() const override { return false; }
  bool allocates_on_data_path() const override { return true; }  // It is a simulation.
  std::string violations() const override {
    return network_.violations().empty() ? "" : network_.violations().front();
  }

 private:
  SimNetwork network_;
  std::unique_ptr<Fabric> acceptor_;
  std::vector<std::unique_ptr<Fabric>> connectors_;
};

auto make(bool by_reference, bool windows) {
  return [=] { return std::make_unique<SimPair>(Traits{by_reference, windows}); };
}

INSTANTIATE_FABRIC_CONFORMANCE(sim_copying, make(false, false), "");
INSTANTIATE_FABRIC_CONFORMANCE(sim_by_reference, make(true, false), "");
INSTANTIATE_FABRIC_CONFORMANCE(sim_windows, make(false, true), "");
INSTANTIATE_FABRIC_CONFORMANCE(sim_by_reference_windows, make(true, true), "");

}  // namespace
}  // namespace phub::transport
