// Goal: a queue pair that fails costs no put and no repeat; with a second rail traffic goes on
// meanwhile; whoever breaks the rules loses his own link and nobody else's.
// Method: real devices; queue pairs are forced into error while puts are under way, and every
// arrival is counted. Needs an RDMA device, which a machine without one says.
#include <functional>

#include "tests/transport/verbs_ends.h"

namespace phub::transport {
namespace {

class VerbsRepairTest : public VerbsEndsTest {};

TEST_F(VerbsRepairTest, QueuePairInErrorIsMendedAndEveryPutArrivesOnce) {
  start(1);
  exchange(12, [&](uint32_t round) {
    if (round % 4 == 1) hub_.verbs().force_error(hub_.link, 0);
    if (round % 4 == 2) worker_.verbs().force_error(worker_.link, 0);
    if (round % 4 == 3) {  // Both at once.
      hub_.verbs().force_error(hub_.link, 0);
      worker_.verbs().force_error(worker_.link, 0);
    }
  });
  expect_all_once();
  EXPECT_GE(hub_.fabric->rails()[0].repairs.get(), 9u);
  EXPECT_EQ(hub_.fabric->rails()[0].links_down.get(), 0u);
}

TEST_F(VerbsRepairTest, OneOfSeveralQueuePairsMayFail) {
  start(1, 4);
  exchange(8, [&](uint32_t round) { hub_.verbs().force_error(hub_.link, round % 4); });
  expect_all_once();
}

TEST_F(VerbsRepairTest, OtherRailTakesOverAndTheFirstComesBack) {
  start(2);
  exchange(6, [&](uint32_t round) {
    if (round % 2 == 1) hub_.verbs().force_error(hub_.link, round / 2 % 2);
  });
  expect_all_once();
  ASSERT_TRUE(until([&] {
    return hub_.fabric->rails()[0].links_down.get() + hub_.fabric->rails()[1].links_down.get() == 0;
  }));
  const uint64_t before = hub_.fabric->rails()[0].puts_sent.get();
  exchange(1, [](uint32_t) {});
  EXPECT_EQ(hub_.fabric->rails()[0].puts_sent.get() - before, kSlots / 2);
}

TEST_F(VerbsRepairTest, RevokedKeyLosesTheLinkWithAReason) {
  start(1);
  exchange(1, [](uint32_t) {});
  hub_.verbs().revoke_keys(hub_.link);
  worker_.put(next_tag_);
  ASSERT_TRUE(until([&] { return worker_.lost == 1; }));
  EXPECT_THAT(worker_.fabric->lost_reason(worker_.link), testing::HasSubstr("key"));
  EXPECT_THAT(worker_.fabric->lost_reason(worker_.link), testing::HasSubstr("the other end"));
  ASSERT_TRUE(until([&] { return hub_.lost == 1; }));
}

// A worker whose idea of where the hub's slots are is `change`d before it connects.
class VerbsHostileTest : public VerbsRepairTest {
 protected:
  struct Pair {
    LinkId at_hub{0};
    LinkId at_worker{0};
  };
  Pair join(const std::function<void(VerbsBootstrap&)>& change, VerbsBootstrap* seen = nullptr) {
    Bootstrap offer, answer;
    const LinkOptions ours = hub_.options(1);
    const LinkOptions theirs = worker_.options(1);
    const auto opened = hub_.fabric->open(ours, &offer);
    EXPECT_TRUE(opened.ok());
    auto blob = decode_verbs_bootstrap(offer.blob, VerbsBootstrap::Role::offer, theirs);
    EXPECT_TRUE(blob.ok());
    if (seen != nullptr) *seen = *blob;
    change(*blob);
    const auto connected = worker_.fabric->connect(theirs, {encode(*blob), {}}, &answer);
    EXPECT_TRUE(connected.ok());
    EXPECT_TRUE(hub_.fabric->accept(*opened, std::move(answer)).ok());
    return {*opened, *connected};
  }
  // The offender's link is lost at both ends, and the honest one carries on.
  void expect_refused(const Pair& honest, const Pair& offender) {
    hub_.lost = worker_.lost = 0;
    const std::vector<std::byte> before(hub_.slots.begin(), hub_.slots.end());
    worker_.link = offender.at_worker;
    worker_.put(0);
    ASSERT_TRUE(until([&] { return worker_.lost == 1 && hub_.lost == 1; }));
    EXPECT_NE(hub_.fabric->lost_reason(offender.at_hub), "");
    EXPECT_TRUE(std::equal(before.begin(), before.end(), hub_.slots.begin()));
    hub_.arrived.clear();
    worker_.link = honest.at_worker;
    worker_.put(3);
    EXPECT_TRUE(until([&] { return hub_.arrived.size() == 1; }));
    EXPECT_TRUE(hub_.arrived.contains(3));
  }
};

TEST_F(VerbsHostileTest, WriteOutsideTheSlotsIsRefusedByTheDevice) {
  start(1);
  const Pair honest{hub_.link, worker_.link};
  for (const int64_t offset : {int64_t{-64}, int64_t{kSlots - 1} * kSlotBytes + 64}) {
    const Pair offender = join(
        [&](VerbsBootstrap& offer) { offer.slots[0].address += static_cast<uint64_t>(offset); });
    expect_refused(honest, offender);
  }
}

TEST_F(VerbsHostileTest, KeyOfAnotherRankOpensNothing) {
  start(1);
  VerbsBootstrap victim_offer;
  const Pair victim = join([](VerbsBootstrap&) {}, &victim_offer);
  hub_.arrived.clear();
  const Pair offender = join([&](VerbsBootstrap& offer) {
    offer.slots = victim_offer.slots;
    offer.rails[0].range_keys = victim_offer.rails[0].range_keys;
    for (size_t i = 0; i < offer.rails[0].endpoints.size(); ++i) {
      offer.rails[0].endpoints[i].window_key = victim_offer.rails[0].endpoints[i].window_key;
    }
  });
  expect_refused(victim, offender);
}

}  // namespace
}  // namespace phub::transport
