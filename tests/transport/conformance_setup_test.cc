// Goal: set-up survives broken and hostile peers; idling neither sleeps through work nor spins; the
// data path allocates nothing.
// Method: as in conformance_test.cc; bootstraps are cut short, replaced and bit-flipped; the global
// operator new counts.
#include <poll.h>

#include <array>

#include "base/random.h"
#include "tests/transport/allocation_count.h"
#include "tests/transport/conformance.h"

namespace phub::transport {
namespace {

std::vector<std::string> broken_blobs(const std::string& good) {
  std::vector<std::string> blobs = {"", std::string(1, '\0'), std::string(100'000, 'x'),
                                    good + "x"};
  for (size_t length = 1; length < good.size(); ++length) blobs.push_back(good.substr(0, length));
  base::Random random(23);
  for (int i = 0; i < 200; ++i) {
    std::string noise(good.size(), '\0');
    for (char& c : noise) c = static_cast<char>(random.next());
    blobs.push_back(noise);
  }
  return blobs;
}

constexpr int kPatienceMs = 10'000;  // Networks and timers take their time.

bool is_readable(int fd, int wait_ms = 0) {
  pollfd descriptor{fd, POLLIN, 0};
  return ::poll(&descriptor, 1, wait_ms) == 1;
}

}  // namespace

TEST_P(FabricConformance, BrokenOffersAreRefused) {
  Half hub, worker;
  hub.fabric = &acceptor();
  worker.fabric = &pair_->connector(0);
  Bootstrap offer;
  ASSERT_TRUE(acceptor().open(options_for(hub), &offer).ok());
  const LinkOptions options = options_for(worker);
  for (const std::string& blob : broken_blobs(offer.blob)) {
    Bootstrap answer;
    const auto link = worker.fabric->connect(options, {blob, {}}, &answer);
    EXPECT_FALSE(link.ok()) << blob.size() << " bytes";
    EXPECT_NE(link.status().message(), "");
  }
  const Joined link = join(0, {});  // Nothing was harmed.
  put(make_put(*link.worker, 0, 1, 64), *link.worker);
  expect_arrival(*link.hub, 1, 64);
}

TEST_P(FabricConformance, BrokenAnswersAreRefusedAndCloseTheLink) {
  Half hub;
  hub.fabric = &acceptor();
  const LinkOptions options = options_for(hub);
  std::string good;
  {
    Half worker;
    worker.fabric = &pair_->connector(0);
    Bootstrap offer, answer;
    ASSERT_TRUE(acceptor().open(options, &offer).ok());
    auto link = worker.fabric->connect(options_for(worker), std::move(offer), &answer);
    ASSERT_TRUE(link.ok());
    good = answer.blob;
    worker.fabric->close(*link);
  }
  uint32_t index_max = 0;
  for (const std::string& blob : broken_blobs(good)) {
    Bootstrap offer;
    auto link = acceptor().open(options, &offer);
    ASSERT_TRUE(link.ok());
    index_max = std::max(index_max, index_of(*link));
    const Status status = acceptor().accept(*link, {blob, {}});
    EXPECT_FALSE(status.ok()) << blob.size() << " bytes";
    EXPECT_NE(status.message(), "");
  }
  EXPECT_LE(index_max, 2u) << "refused links are closed";
  const Joined link = join(1, {});
  put(make_put(*link.worker, 0, 1, 64), *link.worker);
  expect_arrival(*link.hub, 1, 64);
}

TEST_P(FabricConformance, FlippedBitsInBootstrapsNeverCrash) {
  for (size_t bit = 0; bit < 512; bit += 3) {
    Half hub, worker;
    hub.fabric = &acceptor();
    worker.fabric = &pair_->connector(0);
    hub.shape = worker.shape = {.slot_count = 1, .slot_bytes = 64, .puts_max = 2};
    Bootstrap offer, answer;
    auto opened = acceptor().open(options_for(hub), &offer);
    ASSERT_TRUE(opened.ok());
    if (bit / 8 < offer.blob.size()) offer.blob[bit / 8] ^= static_cast<char>(1 << bit % 8);
    auto connected = worker.fabric->connect(options_for(worker), std::move(offer), &answer);
    if (connected.ok()) worker.fabric->close(*connected);
    acceptor().close(*opened);
  }
}

TEST_P(FabricConformance, ArmSaysNoWhileWorkIsPending) {
  const Joined link = join(0, {.slot_count = 8});
  for (int i = 0; i < 100; ++i) step();
  put(make_put(*link.worker, 0, 1, 64), *link.worker);
  // Without a poll at the hub: sooner or later there is something, and arm() says so.
  bool is_idle = true;
  for (int i = 0; i < 10'000 && is_idle; ++i) {
    is_idle = acceptor().arm();
    acceptor().disarm();
    poll(*link.worker->fabric);  // It may have to send again.
    pair_->settle();
  }
  EXPECT_FALSE(is_idle);
  expect_arrival(*link.hub, 1, 64);
}

TEST_P(FabricConformance, DescriptorWakesAfterArm) {
  if (!pair_->has_descriptor()) GTEST_SKIP() << "because this fabric is simulated";
  const Joined link = join(0, {.slot_count = 8});
  for (Half* const to : {link.hub, link.worker}) {
    Half* const from = to == link.hub ? link.worker : link.hub;
    for (uint32_t round = 0; round < 5; ++round) {
      step_until([&] {
        const bool is_idle = to->fabric->arm();
        if (!is_idle) to->fabric->disarm();
        return is_idle;
      });
      EXPECT_FALSE(!pair_->wakes_by_timer() && is_readable(to->fabric->fd()));
      put(make_put(*from, round, 10 + round, 64), *from);
      EXPECT_TRUE(is_readable(to->fabric->fd(), kPatienceMs)) << "round " << round;
      to->fabric->disarm();
      expect_arrival(*to, 10 + round, 64);
      release_all(*to);
    }
  }
}

TEST_P(FabricConformance, WantedCountOfArrivalsWakes) {
  if (!pair_->has_descriptor()) GTEST_SKIP() << "because this fabric is simulated";
  const Joined link = join(0, {.slot_count = 8});
  put(make_put(*link.hub, 7, 7, 64), *link.hub);
  expect_arrival(*link.worker, 7, 64);  // The link is up: its making needs both sides' polls.
  step_until([&] {
    link.worker->fabric->want(link.worker->link, 3);
    const bool is_idle = link.worker->fabric->arm();
    if (!is_idle) link.worker->fabric->disarm();
    return is_idle;
  });
  for (uint32_t i = 0; i < 3; ++i) {
    put(make_put(*link.hub, i, i, 64), *link.hub);
  }
  EXPECT_TRUE(is_readable(link.worker->fabric->fd(), kPatienceMs));
  link.worker->fabric->disarm();
  for (uint32_t i = 0; i < 3; ++i) {
    step_until([&] { return link.worker->arrived.size() >= 3; });
  }
  release_all(*link.worker);
}

TEST_P(FabricConformance, DataPathAllocatesNothing) {
  if (pair_->allocates_on_data_path()) GTEST_SKIP() << "because this fabric is simulated";
  const Joined link = join(0, {.slot_count = 8, .slot_bytes = 4096, .puts_max = 8});
  put(make_put(*link.worker, 0, 1, 64), *link.worker);  // The link is up.
  expect_arrival(*link.hub, 1, 64);
  put(make_put(*link.hub, 0, 2, 64), *link.hub);
  expect_arrival(*link.worker, 2, 64);
  std::array<Event, 8> events;
  uint32_t arrived = 0, sent = 0, taken = 0;
  const auto move = [&](Fabric& fabric) {
    const size_t count = fabric.poll(pair_->now(), events);
    for (size_t i = 0; i < count; ++i) {
      if (events[i].kind == EventKind::arrived) fabric.release(events[i]);
      (events[i].kind == EventKind::arrived ? arrived : sent) += 1;
    }
  };
  const auto exchange = [&](uint32_t rounds) {
    for (uint32_t round = 0; round < rounds; ++round) {
      for (Half* const from : {link.hub, link.worker}) {
        const Put next = {.link = from->link,
                          .slot = round % 8,
                          .tag = round,
                          .bytes = 4096,
                          .data = from->source.slot(round % 8)};
        taken += static_cast<uint32_t>(from->fabric->put({&next, 1}));
      }
      for (int i = 0; i < 4; ++i) {
        pair_->settle();
        move(*link.hub->fabric);
        move(*link.worker->fabric);
      }
    }
  };
  exchange(10);
  const uint64_t before = allocation_count();
  exchange(200);
  EXPECT_EQ(allocation_count() - before, 0u);
  EXPECT_GE(taken, 400u);
  EXPECT_GE(arrived, 400u);
  EXPECT_GE(sent, 400u);
}

}  // namespace phub::transport
