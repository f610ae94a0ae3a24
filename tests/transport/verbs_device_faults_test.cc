// Goal: what devices and drivers refuse costs no put and no repeat, and neither does one of two
// rails that is dead from the start; what they lack is made up for.
// Method: real devices, some of whose functions are others for a while.
#include "tests/transport/verbs_faults.h"

namespace phub::transport {
namespace {

TEST_F(VerbsDeviceFaultsTest, PutsThatTheDeviceRefusesGoAgainByANewQueuePair) {
  start(1);
  const uint32_t before = faults.queue_pairs_made;
  exchange(6, [&](uint32_t round) {
    if (round % 2 == 0) return;
    faults.refused_puts = 1;
    if (round == 3) hub_.verbs().force_error(hub_.link, 0);  // Refused as the lane comes up.
  });
  expect_all_once();
  EXPECT_EQ(faults.refused_puts, 0u);
  // Each end one for each failure, and not one for each completion of a queue pair that has failed.
  EXPECT_LE(faults.queue_pairs_made - before, 16u);
}

// The worker's puts are acknowledged before the hub's completion queue has them, and the hub stops
// its queue pair of its own accord.
TEST_F(VerbsDeviceFaultsTest, ArrivalsWhoseCompletionsAreLateAreCountedBeforeARepair) {
  start(1);
  exchange(1, [](uint32_t) {});
  faults.late_by = 50;
  for (uint32_t slot = 0; slot < kSlots; ++slot) worker_.put(next_tag_ + slot);
  while (worker_.sent < 2 * kSlots && worker_.lost == 0) worker_.poll();
  report_port_error(1);
  hub_.fabric->disarm();
  ASSERT_EQ(hub_.fabric->rails()[0].failures.get(), 1u);
  ASSERT_TRUE(until([&] { return hub_.arrived.size() == 2 * kSlots || hub_.lost > 0; }));
  expect_all_once();
}

TEST_F(VerbsDeviceFaultsTest, RepairsDoNotWaitForACompletionQueueToBeShort) {
  for (const bool has_marker : {true, false}) {
    SCOPED_TRACE(has_marker);
    hub_ = {};
    worker_ = {};
    next_tag_ = 0;
    faults = {};
    start(1);
    faults.is_never_short = true;
    faults.flushes_in_silence = !has_marker;
    exchange(2, [&](uint32_t round) {
      if (round == 1) hub_.verbs().force_error(hub_.link, 0);
    });
    expect_all_once();
    EXPECT_GE(hub_.fabric->rails()[0].repairs.get(), 1u);
    faults.is_never_short = false;
  }
}

TEST_F(VerbsDeviceFaultsTest, ReceivesThatAreGivenBackInSilenceAreNotWaitedFor) {
  start(1);
  faults.flushes_in_silence = true;
  exchange(2, [&](uint32_t round) {
    if (round == 1) hub_.verbs().force_error(hub_.link, 0);
  });
  expect_all_once();
}

TEST_F(VerbsDeviceFaultsTest, RailsWithAndWithoutWindowsWorkInOneLink) {
  faults.lacks_windows = true;
  start(2);
  exchange(2, [](uint32_t) {});
  expect_all_once();
  EXPECT_EQ(hub_.fabric->rails()[0].failures.get(), 0u);
}

// Contexts: the hub's rails, then the worker's.
TEST_F(VerbsDeviceFaultsTest, OneRailThatIsDeadFromTheStartIsGoneRoundUntilItLives) {
  for (const uint32_t dead : {0b1010u, 0b0101u, 0b0100u, 0b0010u}) {
    SCOPED_TRACE(dead);
    hub_ = {};
    worker_ = {};
    next_tag_ = 0;
    faults = {};
    faults.dead = dead;
    start(2);
    if (HasFailure()) return;
    exchange(2, [](uint32_t) {});
    expect_all_once();
    EXPECT_EQ(hub_.fabric->rails()[0].links_down.get() + hub_.fabric->rails()[1].links_down.get(),
              1u);
    faults.dead = 0;
    ASSERT_TRUE(until([&] {
      return hub_.fabric->rails()[0].links_down.get() + hub_.fabric->rails()[1].links_down.get() ==
             0;
    }));
    exchange(2, [](uint32_t) {});
    expect_all_once();
  }
}

TEST_F(VerbsDeviceFaultsTest, WithoutAnyWayThereIsNoLinkAndTheReasonIsSaid) {
  start(2);
  faults.dead = 0b1111;
  Bootstrap offer, answer;
  const auto opened = hub_.fabric->open(hub_.options(2), &offer);
  ASSERT_TRUE(opened.ok());
  const auto connected = worker_.fabric->connect(worker_.options(2), std::move(offer), &answer);
  ASSERT_FALSE(connected.ok());
  EXPECT_THAT(connected.status().message(), testing::HasSubstr("find a way from"));
}

// The map knows rails by their numbers.
TEST_F(VerbsDeviceFaultsTest, PortsThatAreDownAtTheStartAreLeftOutAndTheOthersKeepTheirNumbers) {
  faults.down = 0b0001;
  start(3);
  const std::span<const RailCounters> rails = hub_.fabric->rails();
  ASSERT_EQ(rails.size(), 3u);
  EXPECT_THAT(hub_.verbs().choices().back(), testing::HasSubstr("not used"));
  ASSERT_TRUE(until([&] { return rails[2].links_down.get() == 0; }));
  exchange(2, [](uint32_t) {});
  expect_all_once();
  EXPECT_EQ(rails[0].puts_sent.get(), 0u);
  EXPECT_GE(rails[2].puts_sent.get(), 2 * (kSlots / 3));
}

TEST_F(VerbsDeviceFaultsTest, CompletionQueuesThatCannotGrowAreLargeFromTheStart) {
  faults.cannot_grow = true;
  start(1, 4);
  exchange(2, [](uint32_t) {});
  expect_all_once();
}

}  // namespace
}  // namespace phub::transport
