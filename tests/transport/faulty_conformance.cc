// A faulty fabric is still a fabric: the decorator around the simulator, and what it adds.
#include <array>

#include "tests/transport/conformance.h"
#include "tests/transport/conformance_faults.h"
#include "transport/faulty.h"
#include "transport/sim.h"

namespace phub::transport {
namespace {

class FaultyPair final : public FabricPair {
 public:
  explicit FaultyPair(Traits traits)
      : network_({.seed = 53, .traits = traits}),
        acceptor_(network_.make_fabric(NodeId{0}), kConformanceFaults) {
    for (uint32_t i = 0; i < kConnectorCount; ++i) {
      connectors_.push_back(
          std::make_unique<FaultyFabric>(network_.make_fabric(NodeId{1 + i}), kConformanceFaults));
    }
  }
  Fabric& acceptor() override { return acceptor_; }
  Fabric& connector(size_t index) override { return *connectors_[index]; }
  void settle() override { network_.advance_to_next_event(); }
  Instant now() override { return network_.now(); }
  bool has_descriptor() const override { return false; }
  bool allocates_on_data_path() const override { return true; }  // The simulator inside.
  bool takes_whole_batches() const override { return false; }
  std::string violations() const override {
    return network_.violations().empty() ? "" : network_.violations().front();
  }

 private:
  SimNetwork network_;
  FaultyFabric acceptor_;
  std::vector<std::unique_ptr<FaultyFabric>> connectors_;
};

auto make(bool by_reference, bool windows) {
  return [=] { return std::make_unique<FaultyPair>(Traits{by_reference, windows}); };
}

INSTANTIATE_FABRIC_CONFORMANCE(faulty_sim_copying, make(false, false), "");
INSTANTIATE_FABRIC_CONFORMANCE(faulty_sim_by_reference_windows, make(true, true), "");

struct TwoNodes {
  SimNetwork network{SimOptions{}};
  FaultyFabric hub;
  FaultyFabric worker;
  std::span<std::byte> memory;
  LinkId hub_link{0};
  LinkId worker_link{0};

  explicit TwoNodes(const FaultyOptions& options)
      : hub(network.make_fabric(NodeId{0}), options), worker(network.make_fabric(NodeId{1}), {}) {
    const std::span<std::byte> slots = *hub.allocate(64);
    memory = *worker.allocate(64);
    LinkOptions options_of_hub{.slots = {{slots.data(), 64}},
                               .peer_slot_count = 1,
                               .acceptor_puts_max = 4,
                               .connector_puts_max = 4};
    LinkOptions options_of_worker = options_of_hub;
    options_of_worker.slots = {{memory.data(), 64}};
    Bootstrap offer, answer;
    hub_link = *hub.open(options_of_hub, &offer);
    worker_link = *worker.connect(options_of_worker, std::move(offer), &answer);
    EXPECT_TRUE(hub.accept(hub_link, std::move(answer)).ok());
  }
  void send(uint32_t tag) {
    const Put put{.link = worker_link, .slot = 0, .tag = tag, .bytes = 8, .data = memory.data()};
    ASSERT_EQ(worker.put({&put, 1}), 1u);
    while (network.advance_to_next_event()) {
    }
  }
};

TEST(FaultyFabricTest, EveryArrivalIsRepeatedWhenAsked) {
  TwoNodes nodes({.repeat = 1, .hold_polls_max = 3});
  nodes.send(7);
  int count = 0;
  for (int i = 0; i < 10; ++i) {
    std::array<Event, 4> events;
    const size_t got = nodes.hub.poll(nodes.network.now(), events);
    for (size_t k = 0; k < got; ++k) {
      EXPECT_EQ(events[k].tag, 7u);
      nodes.hub.release(events[k]);
      ++count;
    }
  }
  EXPECT_EQ(count, 2);
  EXPECT_TRUE(nodes.network.violations().empty());
}

TEST(FaultyFabricTest, HeldEventsKeepArmFromSayingYes) {
  TwoNodes nodes({.hold = 1, .hold_polls_max = 3});
  nodes.send(7);
  std::array<Event, 4> events;
  int polls = 0;
  while (nodes.hub.poll(nodes.network.now(), events) == 0) {
    EXPECT_FALSE(nodes.hub.arm());
    ASSERT_LT(++polls, 10);
  }
  EXPECT_GE(polls, 1);
  EXPECT_TRUE(nodes.hub.arm());
}

TEST(FaultyFabricTest, LinkIsLostOnCommandAndItsPutsVanish) {
  TwoNodes nodes({});
  nodes.send(7);
  nodes.hub.lose(nodes.hub_link, "cut by the test");
  std::array<Event, 4> events;
  ASSERT_EQ(nodes.hub.poll(nodes.network.now(), events), 1u);  // The arrival is gone with it.
  EXPECT_EQ(events[0].kind, EventKind::lost);
  EXPECT_EQ(nodes.hub.lost_reason(nodes.hub_link), "cut by the test");
  const Put put{.link = nodes.hub_link};
  EXPECT_EQ(nodes.hub.put({&put, 1}), 1u);
  nodes.hub.close(nodes.hub_link);
  while (nodes.network.advance_to_next_event()) {
  }
  size_t lost_count = 0;
  size_t got = 0;
  while ((got = nodes.worker.poll(nodes.network.now(), events)) > 0) {
    for (size_t i = 0; i < got; ++i) lost_count += events[i].kind == EventKind::lost ? 1 : 0;
  }
  EXPECT_EQ(lost_count, 1u);
}

}  // namespace
}  // namespace phub::transport
