// Goal: what a device or a port says of itself, and what a peer writes, stops only what it is
// about: other rails, queue pairs and links carry on, and what can come back does. Method: real
// devices, some of whose functions are others for a while; letters that are forged on their way
// out; clocks that are ahead.
#include "tests/transport/verbs_faults.h"

namespace phub::transport {
namespace {

class VerbsTroubleTest : public VerbsDeviceFaultsTest {};

TEST_F(VerbsTroubleTest, OnlyTheOwnPortStopsARail) {
  start(1);
  exchange(1, [](uint32_t) {});
  report_port_error(2);
  ASSERT_TRUE(until([] { return !faults.event.has_value(); }));
  EXPECT_EQ(hub_.fabric->rails()[0].failures.get(), 0u);
  report_port_error(1);
  ASSERT_TRUE(until([&] { return hub_.fabric->rails()[0].failures.get() == 1; }));
  exchange(1, [](uint32_t) {});
  expect_all_once();
}

TEST_F(VerbsTroubleTest, TheEndOfADeviceLosesItsLinksWithAReason) {
  for (const bool is_removed : {false, true}) {
    SCOPED_TRACE(is_removed);
    hub_ = {};
    worker_ = {};
    faults = {};
    start(1);
    if (is_removed) {
      faults.event_error = EIO;
    } else {
      ibv_async_event event = {};
      event.event_type = IBV_EVENT_CQ_ERR;
      faults.event = event;
    }
    ASSERT_TRUE(until([&] { return hub_.lost == 1; }));
    EXPECT_THAT(hub_.fabric->lost_reason(hub_.link),
                testing::HasSubstr(is_removed ? "taken away" : "completion queue"));
  }
}

TEST_F(VerbsTroubleTest, TrafficOfADeviceThatEndsGoesByTheOther) {
  for (const char* const how : {"taken away", "completion queue", "taken any more"}) {
    SCOPED_TRACE(how);
    hub_ = {};
    worker_ = {};
    next_tag_ = 0;
    faults = {};
    start(2);
    // A way that is still looked for is not one that failed.
    ASSERT_TRUE(until([&] { return links_down() == 0; }));
    exchange(1, [](uint32_t) {});
    if (how == std::string("taken away")) faults.event_error = EIO;
    if (how == std::string("taken any more")) faults.poll_errors = 1;
    ibv_async_event event = {};
    event.event_type = IBV_EVENT_CQ_ERR;
    if (how == std::string("completion queue")) faults.event = event;
    ASSERT_TRUE(until([&] { return links_down() == 1; }));
    const uint64_t before = hub_.fabric->rails()[0].puts_sent.get();
    exchange(3, [](uint32_t) {});
    expect_all_once();
    EXPECT_EQ(hub_.fabric->rails()[0].puts_sent.get(), before);
  }
}

TEST_F(VerbsTroubleTest, AQueuePairThatTheDeviceGivesUpIsMadeAnew) {
  start(1);
  exchange(1, [](uint32_t) {});
  ibv_async_event event = {};
  event.event_type = IBV_EVENT_QP_FATAL;
  event.element.qp = faults.last_queue_pair[faults.contexts[0]];
  faults.event = event;
  ASSERT_TRUE(until([&] { return hub_.fabric->rails()[0].failures.get() == 1; }));
  exchange(2, [](uint32_t) {});
  expect_all_once();
}

TEST_F(VerbsTroubleTest, APortMayTakeFortySecondsToComeBackButNotForEver) {
  start(1);
  exchange(1, [](uint32_t) {});
  const auto trouble_for = [&](int64_t seconds) {
    faults.dead = 0b11;
    hub_.verbs().force_error(hub_.link, 0);
    ASSERT_TRUE(until([&] { return links_down() == 1; }));
    for (int i = 0; i < 100; ++i) step();
    hub_.ahead_ns += seconds * 1'000'000'000;
    worker_.ahead_ns += seconds * 1'000'000'000;
    for (int i = 0; i < 100; ++i) step();
  };
  trouble_for(40);
  faults.dead = 0;
  exchange(2, [](uint32_t) {});
  expect_all_once();
  trouble_for(61);
  EXPECT_EQ(hub_.lost, 1u);
  EXPECT_THAT(hub_.fabric->lost_reason(hub_.link), testing::HasSubstr("no word from the peer"));
}

// A worker that names an address that nobody has must not hold up the others.
TEST_F(VerbsTroubleTest, AWayThatIsLongInComingHoldsUpNobody) {
  start(1);
  exchange(1, [](uint32_t) {});
  const LinkId honest_hub = hub_.link, honest_worker = worker_.link;
  gate.set(true);
  Bootstrap offer, answer;
  const LinkId opened = *hub_.fabric->open(hub_.options(1), &offer);
  const LinkId connected = *worker_.fabric->connect(worker_.options(1), std::move(offer), &answer);
  ASSERT_TRUE(hub_.fabric->accept(opened, std::move(answer)).ok());
  exchange(4, [](uint32_t) {});
  EXPECT_EQ(links_down(), 1u);
  gate.set(false);
  ASSERT_TRUE(until([&] { return links_down() == 0; }));
  hub_.link = opened;
  worker_.link = connected;
  exchange(1, [](uint32_t) {});
  EXPECT_FALSE(gate.was_forced);
  hub_.link = honest_hub;
  worker_.link = honest_worker;
  expect_all_once();
}

TEST_F(VerbsTroubleTest, LettersCannotNameAddressesThatTheSessionDidNotName) {
  start(1);
  exchange(1, [](uint32_t) {});
  faults.strange = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 77, 0, 99};
  faults.forge = [](VerbsLetter& letter) { letter.address.gid = faults.strange; };
  hub_.verbs().force_error(hub_.link, 0);
  ASSERT_TRUE(until([&] { return faults.letters_forged >= 5; }));
  EXPECT_EQ(faults.strange_ways, 0u);
  EXPECT_EQ(links_down(), 1u);
  faults.forge = nullptr;
  exchange(2, [](uint32_t) {});
  expect_all_once();
}

TEST_F(VerbsTroubleTest, LettersCannotMakeQueuePairsAtTheSpeedOfTheNetwork) {
  start(1);
  exchange(1, [](uint32_t) {});
  ibv_context* const hub = faults.contexts[0];
  const uint32_t before = faults.made_by[hub];
  uint32_t incarnation = 1000;
  faults.forge = [&](VerbsLetter& letter) { letter.incarnation = ++incarnation; };
  const Instant start_of_trouble = base::now();
  hub_.verbs().force_error(hub_.link, 0);
  ASSERT_TRUE(until([&] { return faults.letters_forged >= 60; }));
  const auto seconds =
      static_cast<uint32_t>((base::now() - start_of_trouble).count() / 1'000'000'000);
  EXPECT_GE(faults.made_by[hub] - before, 2u);
  EXPECT_LE(faults.made_by[hub] - before, 16 * (seconds + 2));
}

}  // namespace
}  // namespace phub::transport
