// Goal: whatever the network does, messages of all sizes come whole, in order and once; and when
// it stops, every unfinished operation ends.
// Method: two mailboxes with tiny slots over the simulated fabric in its four shapes; many seeds of
// loss, repeats and reordering, both ends sending at once, large messages accepted in any order.
#include <gtest/gtest.h>

#include "tests/exchange/mailbox_pair.h"

namespace phub::exchange {
namespace {

using transport::Bootstrap;
using transport::Faults;
using transport::NodeId;
using transport::SimNetwork;

struct Case {
  uint64_t seed = 1;
  Faults faults = {};
};

class Pair {
 public:
  explicit Pair(const Case& given)
      : network_(
            {.seed = given.seed,
             .faults = given.faults,
             .traits = {.by_reference = (given.seed & 1) != 0, .windows = (given.seed & 2) != 0}}),
        hub_fabric_(network_.make_fabric(NodeId{0})),
        worker_fabric_(network_.make_fabric(NodeId{1})),
        hub(*hub_fabric_, true, 2 * given.seed + 1, 2 * given.seed + 2),
        worker(*worker_fabric_, false, 2 * given.seed + 2, 2 * given.seed + 1) {
    Bootstrap offer;
    Bootstrap answer;
    const auto hub_link = hub_fabric_->open(hub.mailbox().link_options(), &offer).value();
    const auto worker_link =
        worker_fabric_->connect(worker.mailbox().link_options(), std::move(offer), &answer).value();
    EXPECT_TRUE(hub_fabric_->accept(hub_link, std::move(answer)).ok());
    hub.start(hub_link);
    worker.start(worker_link);
    hub.set_lazy(true);
  }

  // Until nothing more happens.
  void run() {
    do {
      while (poll() > 0) {
      }
    } while (network_.advance_to_next_event() || poll() > 0);
  }
  void run_for(int64_t ns) {
    const base::Instant end = network_.now() + std::chrono::nanoseconds(ns);
    while (network_.now() < end && network_.next_event() < end) {
      network_.advance_to_next_event();
      poll();
    }
  }
  size_t poll() {
    size_t work = is_hub_alive ? hub.poll(network_.now()) : 0;
    if (is_worker_alive) work += worker.poll(network_.now());
    return work;
  }
  void expect_no_violations() {
    EXPECT_TRUE(network_.violations().empty()) << network_.violations().front();
  }

  SimNetwork network_;
  std::unique_ptr<transport::Fabric> hub_fabric_;
  std::unique_ptr<transport::Fabric> worker_fabric_;
  MailboxUser hub;
  MailboxUser worker;
  bool is_hub_alive = true;
  bool is_worker_alive = true;
};

void expect_all_arrive(const Case& given) {
  SCOPED_TRACE("seed " + std::to_string(given.seed));
  constexpr uint64_t kCount = 60;
  Pair pair(given);
  pair.hub.send_until(kCount);
  pair.worker.send_until(kCount);
  // A lazy user answers by chance: time goes on without events.
  for (int i = 0;
       i < 2000 && (pair.hub.ended_count() < kCount || pair.worker.ended_count() < kCount); ++i) {
    pair.run();
  }
  for (MailboxUser* user : {&pair.hub, &pair.worker}) {
    EXPECT_EQ(user->begun_count(), kCount);
    EXPECT_EQ(user->ended_count(), kCount);
    EXPECT_EQ(user->sent_count(), kCount);
    EXPECT_EQ(user->failed_count(), 0u);
    user->mailbox().send_farewell();
  }
  pair.run();
  for (MailboxUser* user : {&pair.hub, &pair.worker}) {
    EXPECT_TRUE(user->has_farewell());
    EXPECT_TRUE(user->mailbox().is_drained());
  }
  pair.expect_no_violations();
}

TEST(MailboxSimTest, AQuietNetworkDeliversAll) {
  for (uint64_t seed = 0; seed < 8; ++seed) expect_all_arrive({.seed = seed});
}

TEST(MailboxSimTest, LossDuplicationAndReorderingChangeNothing) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    expect_all_arrive(
        {.seed = seed,
         .faults = {.loss = 0.2, .duplicate = 0.2, .delay_ns_min = 0, .delay_ns_max = 20'000}});
    if (testing::Test::HasFailure()) return;
  }
}

TEST(MailboxSimTest, ACrashEndsEveryOperationOfTheOtherOnce) {
  uint64_t failed_count = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Pair pair({.seed = seed, .faults = {.loss = 0.1, .duplicate = 0.1, .delay_ns_max = 20'000}});
    pair.hub.send_until(50);
    pair.worker.send_until(50);
    pair.run_for(static_cast<int64_t>(1000 * (seed + 1)));
    const bool is_hub = seed % 3 == 0;
    (is_hub ? pair.is_hub_alive : pair.is_worker_alive) = false;
    pair.network_.crash(NodeId{is_hub ? 0u : 1u});
    pair.run();
    MailboxUser& survivor = is_hub ? pair.worker : pair.hub;
    EXPECT_EQ(survivor.lost_count(), 1u);
    EXPECT_EQ(survivor.sent_count() + survivor.failed_count(), survivor.started_count());
    EXPECT_EQ(survivor.mailbox().unfinished_sends(), 0u);
    EXPECT_NE(survivor.mailbox().reason().find(is_hub ? "hub" : "worker"), std::string::npos)
        << survivor.mailbox().reason();
    failed_count += survivor.failed_count();
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(failed_count, 100u) << "no crash met anything unfinished";
}

}  // namespace
}  // namespace phub::exchange
