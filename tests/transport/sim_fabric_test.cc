// Goal: the simulated fabric catches those who break the contract of fabric.h, and tells of crashes
// and cuts as a real one would.
// Method: one breach per test; then the same calls without it leave no trace.
#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "transport/sim.h"

namespace phub::transport {
namespace {

class SimFabricTest : public testing::Test {
 protected:
  void join(const SimOptions& options) {
    hub_.reset();  // Before their network.
    worker_.reset();
    network_ = std::make_unique<SimNetwork>(options);
    hub_ = network_->make_fabric(NodeId{0});
    worker_ = network_->make_fabric(NodeId{1});
    hub_memory_ = *hub_->allocate(256);
    worker_memory_ = *worker_->allocate(256);
    LinkOptions link{.slots = {{hub_memory_.data(), 64}, {hub_memory_.data() + 64, 64}},
                     .peer_slot_count = 2,
                     .acceptor_puts_max = 4,
                     .connector_puts_max = 4};
    Bootstrap offer, answer;
    hub_link_ = *hub_->open(link, &offer);
    link.slots = {{worker_memory_.data(), 64}, {worker_memory_.data() + 64, 64}};
    worker_link_ = *worker_->connect(link, std::move(offer), &answer);
    ASSERT_TRUE(hub_->accept(hub_link_, std::move(answer)).ok());
  }
  void push(uint32_t slot, uint32_t bytes, const std::byte* data) {
    const Put put{.link = worker_link_, .slot = slot, .tag = slot, .bytes = bytes, .data = data};
    ASSERT_EQ(worker_->put({&put, 1}), 1u);
  }
  void push(uint32_t slot) { push(slot, 64, worker_memory_.data() + 128); }
  std::vector<Event> drain(Fabric& fabric) {
    while (network_->advance_to_next_event()) {
    }
    std::array<Event, 16> events;
    const size_t count = fabric.poll(network_->now(), events);
    return {events.begin(), events.begin() + static_cast<long>(count)};
  }
  std::string violation() {
    return network_->violations().empty() ? "" : network_->violations().front();
  }

  std::unique_ptr<SimNetwork> network_;
  std::unique_ptr<Fabric> hub_;
  std::unique_ptr<Fabric> worker_;
  std::span<std::byte> hub_memory_;
  std::span<std::byte> worker_memory_;
  LinkId hub_link_{0};
  LinkId worker_link_{0};
};

TEST_F(SimFabricTest, CorrectUseLeavesNoViolation) {
  for (const bool by_reference : {false, true}) {
    join({.faults = {.duplicate = 0.5}, .traits = {by_reference, false}});
    push(0);
    for (const Event& event : drain(*hub_)) hub_->release(event);
    EXPECT_EQ(drain(*worker_).size(), 1u);
    EXPECT_EQ(violation(), "");
  }
}

TEST_F(SimFabricTest, BytesChangedBeforeTheyWereSentAreNoticed) {
  join({});
  push(0);
  worker_memory_[128] = std::byte{1};
  drain(*hub_);
  EXPECT_NE(violation().find("changed before it was sent"), std::string::npos) << violation();
}

TEST_F(SimFabricTest, PutToASlotThatIsStillReadIsNoticed) {
  join({});
  push(0);
  drain(*hub_);
  push(0);
  drain(*hub_);
  EXPECT_NE(violation().find("put overwrites slot 0"), std::string::npos) << violation();
}

TEST_F(SimFabricTest, PayloadChangedBeforeItsReleaseIsNoticed) {
  join({});
  push(0);
  const std::vector<Event> events = drain(*hub_);
  ASSERT_EQ(events.size(), 1u);
  hub_memory_[5] = std::byte{1};
  hub_->release(events[0]);
  EXPECT_NE(violation().find("between its arrival and its release"), std::string::npos);
}

TEST_F(SimFabricTest, SecondReleaseIsNoticed) {
  join({});
  push(0);
  const std::vector<Event> events = drain(*hub_);
  hub_->release(events[0]);
  EXPECT_EQ(violation(), "");
  hub_->release(events[0]);
  EXPECT_NE(violation().find("released twice"), std::string::npos);
}

TEST_F(SimFabricTest, PutFromForeignMemoryIsNoticed) {
  join({});
  const std::array<std::byte, 64> foreign{};
  push(0, 64, foreign.data());
  EXPECT_NE(violation().find("memory that is not registered"), std::string::npos);
}

TEST_F(SimFabricTest, PutLongerThanItsSlotIsNoticedAndNotDelivered) {
  join({});
  push(1, 65, worker_memory_.data() + 128);
  EXPECT_TRUE(drain(*hub_).empty());
  EXPECT_NE(violation().find("put of 65 bytes to slot 1 of 64"), std::string::npos) << violation();
}

TEST_F(SimFabricTest, WindowIsThePeersSlotAndOnlyTheTagTravels) {
  join({.traits = {.by_reference = false, .windows = true}});
  EXPECT_EQ(worker_->window(worker_link_, 0), nullptr) << "only the acceptor has windows";
  std::byte* const window = hub_->window(hub_link_, 1);
  ASSERT_EQ(window, worker_memory_.data() + 64);
  std::memset(window, 7, 64);
  const Put put{.link = hub_link_, .slot = 1, .tag = 5, .bytes = 64, .data = window};
  ASSERT_EQ(hub_->put({&put, 1}), 1u);
  const std::vector<Event> events = drain(*worker_);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].data, window);
  worker_->release(events[0]);
  EXPECT_TRUE(drain(*hub_).empty()) << "no sent event";
  EXPECT_EQ(violation(), "");
}

TEST_F(SimFabricTest, CrashOfTheWorkerIsReportedAndItsMemoryStaysReadable) {
  join({.traits = {.by_reference = true, .windows = true}});
  worker_memory_[128] = std::byte{42};
  push(0);
  const std::vector<Event> arrived = drain(*hub_);
  ASSERT_EQ(arrived.size(), 1u);
  network_->crash(NodeId{1});
  worker_.reset();
  const std::vector<Event> events = drain(*hub_);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, EventKind::lost);
  EXPECT_EQ(hub_->lost_reason(hub_link_), "node 1 crashed 1.0 ms ago");
  EXPECT_EQ(arrived[0].data[0], std::byte{42});
  hub_->release(arrived[0]);
  hub_->close(hub_link_);
}

TEST_F(SimFabricTest, ShortCutDelaysAndLongCutLosesBothEnds) {
  join({});
  network_->cut(NodeId{0}, NodeId{1});
  push(0);
  network_->run_until({50'000'000});
  std::array<Event, 4> events;
  EXPECT_EQ(hub_->poll(network_->now(), events), 0u);
  network_->heal(NodeId{0}, NodeId{1});
  EXPECT_EQ(drain(*hub_).size(), 1u);
  network_->cut(NodeId{0}, NodeId{1});
  drain(*worker_);
  EXPECT_EQ(hub_->poll(network_->now(), events), 1u);
  EXPECT_EQ(hub_->lost_reason(hub_link_), "node 1 has not answered for 100.0 ms");
  EXPECT_EQ(worker_->lost_reason(worker_link_), "node 0 has not answered for 100.0 ms");
}

TEST_F(SimFabricTest, CrashedNodeIsSilent) {
  join({});
  network_->crash(NodeId{1});
  push(0);  // Taken, and vanishes.
  std::array<Event, 4> events;
  network_->run_until({500'000});
  EXPECT_EQ(hub_->poll(network_->now(), events), 0u);
  EXPECT_EQ(worker_->poll(network_->now(), events), 0u);
}

}  // namespace
}  // namespace phub::transport
