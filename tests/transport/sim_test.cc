// Goal: the simulator moves time, messages and faults as sim.h promises.
// Method: small scripts; every fault is drawn from a seed, every instant is exact.
#include "transport/sim.h"

#include <gtest/gtest.h>

#include <vector>

namespace phub::transport {
namespace {

constexpr NodeId kHub{0};
constexpr NodeId kWorker{1};

void drain(SimNetwork& network) {
  while (network.advance_to_next_event()) {
  }
}

TEST(SimNetworkTest, TimeMovesFromEventToEventOnly) {
  SimNetwork network({});
  std::vector<int64_t> seen;
  network.at({3'000'000'000}, [&] { seen.push_back(network.now().ns); });
  network.at({5}, [&] { seen.push_back(network.now().ns); });
  EXPECT_EQ(network.next_event(), Instant{5});
  drain(network);
  EXPECT_EQ(seen, (std::vector<int64_t>{5, 3'000'000'000}));
  EXPECT_FALSE(network.advance_to_next_event());
  EXPECT_EQ(network.next_event(), Instant{INT64_MAX});
}

TEST(SimNetworkTest, RunUntilStopsBetweenEvents) {
  SimNetwork network({});
  int count = 0;
  network.at({10}, [&] { ++count; });
  network.at({30}, [&] { ++count; });
  network.run_until({20});
  EXPECT_EQ(count, 1);
  EXPECT_EQ(network.now(), Instant{20});
}

TEST(SimPipeTest, MessagesComeOnceAndInOrderWhateverTheDelays) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SimNetwork network(
        {.seed = seed, .faults = {.loss = 0.3, .delay_ns_min = 0, .delay_ns_max = 50'000}});
    auto [hub, worker] = network.make_pipe(kHub, kWorker);
    for (int i = 0; i < 40; ++i) worker->send(std::make_shared<int>(i));
    worker->close();
    drain(network);
    for (int i = 0; i < 40; ++i) {
      auto message = hub->receive();
      ASSERT_TRUE(message.has_value()) << "seed " << seed;
      EXPECT_EQ(*std::static_pointer_cast<int>(*message), i) << "seed " << seed;
    }
    EXPECT_FALSE(hub->receive().has_value());
    EXPECT_EQ(hub->state().code(), Code::unavailable);
  }
}

TEST(SimPipeTest, CrashIsKnownAfterTheDetectionTimeAndNotBefore) {
  SimNetwork network({.crash_detection_ns = 1'000'000});
  auto [hub, worker] = network.make_pipe(kHub, kWorker);
  network.crash(kWorker);
  network.run_until({999'999});
  EXPECT_TRUE(hub->state().ok());
  network.run_until({1'000'000});
  EXPECT_EQ(hub->state().message(), "node 1 crashed 1.0 ms ago");
}

TEST(SimPipeTest, ShortCutOnlyDelaysAndLongCutEnds) {
  SimNetwork network({.silence_detection_ns = 100'000'000});
  auto [hub, worker] = network.make_pipe(kHub, kWorker);
  network.cut(kHub, kWorker);
  worker->send(std::make_shared<int>(7));
  network.run_until({50'000'000});
  EXPECT_FALSE(hub->receive().has_value());
  network.heal(kHub, kWorker);
  network.run_until({120'000'000});
  EXPECT_TRUE(hub->receive().has_value());
  EXPECT_TRUE(hub->state().ok());

  network.cut(kHub, kWorker);
  network.run_until({220'000'000});
  EXPECT_EQ(hub->state().message(), "node 1 has not answered for 100.0 ms");
  EXPECT_EQ(worker->state().message(), "node 0 has not answered for 100.0 ms");
}

TEST(SimPipeTest, RestartedNodeIsNotBlamedForItsFormerLife) {
  SimNetwork network({});
  auto [hub, worker] = network.make_pipe(kHub, kWorker);
  network.crash(kWorker);
  network.restart(kWorker);
  auto [hub2, worker2] = network.make_pipe(kHub, kWorker);
  worker2->send(std::make_shared<int>(1));
  drain(network);
  EXPECT_FALSE(hub->state().ok());
  EXPECT_TRUE(hub2->state().ok());
  EXPECT_TRUE(hub2->receive().has_value());
}

TEST(SimWireTest, LossAndDuplicationFollowTheirProbabilities) {
  SimNetwork network({.seed = 3, .faults = {.loss = 0.25, .duplicate = 0.5}});
  auto from = network.make_wire(kHub);
  auto to = network.make_wire(kWorker);
  for (int i = 0; i < 2000; ++i) {
    from->reserve()[0] = std::byte{1};
    from->send(to->address(), 1);
  }
  drain(network);
  std::vector<WirePacket> packets(5000);
  const size_t count = to->receive(packets);
  EXPECT_GT(count, 2000u * 1.5 * 0.75 * 0.95);
  EXPECT_LT(count, 2000u * 1.5 * 0.75 * 1.05);
  EXPECT_EQ(packets[0].from, from->address());
}

TEST(SimWireTest, EqualSeedsGiveEqualHistories) {
  auto history = [](uint64_t seed) {
    SimNetwork network(
        {.seed = seed,
         .faults = {.loss = 0.2, .duplicate = 0.2, .delay_ns_min = 10, .delay_ns_max = 5000}});
    auto from = network.make_wire(kHub);
    auto to = network.make_wire(kWorker);
    for (int i = 0; i < 100; ++i) {
      from->reserve()[0] = static_cast<std::byte>(i);
      from->send(to->address(), 1);
    }
    std::vector<int64_t> trace;
    std::vector<WirePacket> packets(8);
    while (network.advance_to_next_event()) {
      const size_t count = to->receive(packets);
      for (size_t i = 0; i < count; ++i) {
        trace.push_back(network.now().ns);
        trace.push_back(static_cast<int64_t>(packets[i].bytes[0]));
      }
    }
    return trace;
  };
  EXPECT_EQ(history(5), history(5));
  EXPECT_NE(history(5), history(6));
}

}  // namespace
}  // namespace phub::transport
