// Goal: whatever a worker does with the memory it shares, the hub neither crashes nor hangs, the
// worker's own link is lost with a reason, and other links go on.
// Method: RawWorker scribbles; a well-behaved pair at the same hub is exchanged with afterwards.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "base/random.h"
#include "base/thread.h"
#include "tests/transport/shm_support.h"

namespace phub::transport {
namespace {

class ShmHostileTest : public testing::Test {
 protected:
  ShmHostileTest() : hub_(make_shm()), good_(hub_, make_shm(), 2, 2) {}

  // Polls, reads what arrived, releases it, and answers; true once `link` is lost.
  bool serve(LinkId link) {
    bool is_lost = false;
    for (const Event& event : poll_once(*hub_)) {
      if (event.link != link) continue;
      is_lost = is_lost || event.kind == EventKind::lost;
      if (event.kind != EventKind::arrived) continue;
      EXPECT_LE(event.bytes, RawWorker::kSlotBytes);
      for (uint32_t i = 0; i < event.bytes; ++i) sum_ += std::to_integer<uint64_t>(event.data[i]);
      hub_->release(event);
      const Put reply{.link = link,
                      .slot = event.tag % RawWorker::kSlotCount,
                      .tag = event.tag,
                      .data = hub_->window(link, event.tag % RawWorker::kSlotCount)};
      hub_->put({&reply, 1});
    }
    return is_lost;
  }

  std::string reason_after_serving(LinkId link) {
    for (int i = 0; i < 10; ++i) {
      if (serve(link)) return hub_->lost_reason(link);
    }
    return "not lost";
  }

  void expect_good_link_works() {
    const Put push = good_.push(0, 5);
    ASSERT_EQ(good_.worker->put({&push, 1}), 1u);
    bool has_arrived = false;
    for (int i = 0; i < 10; ++i) {
      for (const Event& event : poll_once(*hub_)) {
        if (event.link != good_.hub_link) continue;
        ASSERT_EQ(event.kind, EventKind::arrived);
        has_arrived = true;
        hub_->release(event);
      }
    }
    EXPECT_TRUE(has_arrived);
  }

  std::shared_ptr<Fabric> hub_;
  ShmPair good_;
  uint64_t sum_ = 0;
};

}  // namespace

TEST_F(ShmHostileTest, WrongRecordsCostTheLink) {
  struct Case {
    PushRecord record;
    const char* reason;
  };
  PushRecord slot = RawWorker::good_push(0), length = slot, region = slot, offset = slot,
             wrapping = slot, end = slot, closing = slot;
  slot.slot = RawWorker::kSlotCount;
  length.bytes = RawWorker::kSlotBytes + 1;
  region.region = 1;
  offset.offset = RawWorker::kRegionBytes + 1;
  wrapping.offset = UINT64_MAX - 10;
  end.offset = RawWorker::kRegionBytes - RawWorker::kSlotBytes + 1;
  closing.bytes = kClosingBytes;
  const std::string broken = "peer broke the protocol: ";
  const Case cases[] = {{slot, "put to slot 4 of 4"},
                        {length, "put of 257 bytes to a slot of 256"},
                        {region, "payload outside its memory (region 1, offset 4096)"},
                        {offset, "payload outside its memory (region 0, offset 65537)"},
                        {wrapping,
                         "payload outside its memory (region 0, offset "
                         "18446744073709551605)"},
                        {end, "payload outside its memory (region 0, offset 65281)"}};
  for (const Case& wrong : cases) {
    RawWorker worker(*hub_);
    worker.join();
    worker.push(RawWorker::good_push(0));
    worker.push(wrong.record);
    worker.push(RawWorker::good_push(1));
    EXPECT_EQ(reason_after_serving(worker.link()), broken + wrong.reason);
    hub_->close(worker.link());
  }
  RawWorker worker(*hub_);
  worker.join();
  worker.push(closing);
  EXPECT_EQ(reason_after_serving(worker.link()), "peer closed the link");
  expect_good_link_works();
}

TEST_F(ShmHostileTest, LastByteOfTheRegionIsStillInside) {
  RawWorker worker(*hub_);
  worker.join();
  PushRecord push = RawWorker::good_push(0);
  push.offset = RawWorker::kRegionBytes - RawWorker::kSlotBytes;
  worker.push(push);
  EXPECT_FALSE(serve(worker.link()));
  EXPECT_EQ(sum_, RawWorker::kSlotBytes);
}

TEST_F(ShmHostileTest, ImpossibleIndexesCostTheLink) {
  const std::string reason = "peer broke the protocol: impossible ring index";
  for (const uint64_t tail : {uint64_t{9}, uint64_t{1} << 63, UINT64_MAX}) {
    RawWorker worker(*hub_);
    worker.join();
    worker.header().pushes.tail = tail;
    EXPECT_EQ(reason_after_serving(worker.link()), reason);
    hub_->close(worker.link());
  }
  {
    RawWorker worker(*hub_);
    worker.join();
    worker.header().replies.head = 1;  // Nothing was replied.
    const Put reply{.link = worker.link(), .data = hub_->window(worker.link(), 0)};
    EXPECT_EQ(hub_->put({&reply, 1}), 1u) << "taken, and vanishes";
    EXPECT_EQ(reason_after_serving(worker.link()), reason);
  }
  {
    RawWorker worker(*hub_);
    worker.join();
    worker.header().releases.head = UINT64_MAX / 2;
    worker.push(RawWorker::good_push(0));
    EXPECT_EQ(reason_after_serving(worker.link()), reason);
  }
  expect_good_link_works();
}

TEST_F(ShmHostileTest, MorePushesThanAgreedCostTheLink) {
  RawWorker worker(*hub_);
  worker.join();
  for (uint32_t i = 0; i <= RawWorker::kPutsMax; ++i) worker.push(RawWorker::good_push(i));
  bool is_lost = false;
  uint32_t arrived = 0;
  for (const Event& event : poll_once(*hub_)) {
    arrived += event.kind == EventKind::arrived;
    is_lost = is_lost || event.kind == EventKind::lost;
  }
  EXPECT_EQ(arrived, RawWorker::kPutsMax);
  EXPECT_TRUE(is_lost);
  EXPECT_EQ(hub_->lost_reason(worker.link()),
            "peer broke the protocol: more than 6 unfinished puts");
  expect_good_link_works();
}

TEST_F(ShmHostileTest, WorkerThatTakesNoRepliesMakesPutsShortNotEndless) {
  RawWorker worker(*hub_);
  worker.join();
  const Put reply{.link = worker.link(), .data = hub_->window(worker.link(), 0)};
  const std::vector<Put> replies(1000, reply);
  EXPECT_GE(hub_->put(replies), RawWorker::kPutsMax);
  EXPECT_EQ(hub_->put(replies), 0u);
  expect_good_link_works();
}

TEST_F(ShmHostileTest, SprayedRingMemoryLosesTheLinkOnly) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    base::Random random(seed);
    RawWorker worker(*hub_);
    worker.join();
    // Enough chances that an index is hit; most seeds spray records first.
    bool is_lost = false;
    for (int i = 0; i < 2000 && !is_lost; ++i) {
      const std::span<std::byte> memory = worker.ring_memory();
      const uint64_t value = random.chance(0.5) ? random.next() : random.below(8);
      std::memcpy(&memory[random.below(memory.size() / 8) * 8], &value, sizeof(value));
      is_lost = serve(worker.link());
      if (random.chance(0.1)) hub_->arm();
      if (random.chance(0.1)) hub_->disarm();
    }
    EXPECT_TRUE(is_lost) << "seed " << seed;
    EXPECT_NE(hub_->lost_reason(worker.link()), "") << "seed " << seed;
    hub_->close(worker.link());
  }
  hub_->disarm();
  expect_good_link_works();
}

TEST_F(ShmHostileTest, RecordsThatChangeWhileTheyAreReadAreChecked) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    RawWorker worker(*hub_);
    worker.join();
    std::atomic<bool> is_over = false;
    // Flips offset and slot between good and terrible as fast as it can, as another process would.
    const base::Mapping flipped = worker.map_rings_again();
    base::Thread flipper("flipper", -1, [&] {
      PushRecord* const records = ShmRings::at(flipped.data(), RawWorker::hub_options()).pushes;
      for (uint64_t i = 0; !is_over.load(std::memory_order_relaxed); ++i) {
        std::atomic_ref(records[i & 7].offset)
            .store(i & 8 ? 4096 : UINT64_MAX - 4096, std::memory_order_relaxed);
        std::atomic_ref(records[i & 7].slot).store(i & 16 ? 1 : 1u << 31);
      }
    });
    bool is_lost = false;
    for (uint32_t i = 0; i < 2000 && !is_lost; ++i) {
      worker.push(RawWorker::good_push(i));
      worker.header().releases.head.store(worker.header().releases.tail.load());
      worker.header().replies.head.store(worker.header().replies.tail.load());
      is_lost = serve(worker.link());
    }
    is_over = true;
    flipper.join();
    hub_->close(worker.link());
  }
  expect_good_link_works();
}

TEST_F(ShmHostileTest, VanishedWorkerIsNoticedWhileAsleep) {
  RawWorker worker(*hub_);
  worker.join();
  ASSERT_TRUE(hub_->arm());
  EXPECT_FALSE(is_readable(hub_->fd()));
  worker.hang_up();
  EXPECT_TRUE(await_readable(hub_->fd()));
  hub_->disarm();
  EXPECT_EQ(reason_after_serving(worker.link()), "peer process is gone");
  EXPECT_FALSE(is_readable(hub_->fd())) << "and not again and again";
  expect_good_link_works();
}

TEST_F(ShmHostileTest, WhatAWorkerPushedBeforeItVanishedStillArrives) {
  RawWorker worker(*hub_);
  worker.join();
  ASSERT_TRUE(hub_->arm());
  worker.push(RawWorker::good_push(0));
  worker.hang_up();
  ASSERT_TRUE(await_readable(hub_->fd()));
  hub_->disarm();
  EXPECT_EQ(reason_after_serving(worker.link()), "peer process is gone");
  EXPECT_EQ(sum_, RawWorker::kSlotBytes);
}

TEST_F(ShmHostileTest, AnswersThatLeadOutsideTheMemoryAreRefused) {
  const auto refused = [&](auto spoil, const std::string& message) {
    RawWorker worker(*hub_);
    ShmAnswer answer = worker.good_answer();
    spoil(answer);
    const Status status = hub_->accept(worker.link(), worker.bootstrap(answer));
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(status.message(), message);
  };
  refused([](ShmAnswer& answer) { answer.slots[2].at.region = 1; }, "slot 2 lies in region 1 of 1");
  refused([](ShmAnswer& answer) { answer.slots[2].at.offset = UINT64_MAX - 100; },
          "slot 2 (256 bytes at 18446744073709551515) ends outside its region of 65536");
  refused([](ShmAnswer& answer) { answer.slots[1].bytes = 65281; },
          "slot 1 (65281 bytes at 256) ends outside its region of 65536");
  refused([](ShmAnswer& answer) { answer.slots[1].bytes = 255; },
          "slot 1 has 255 bytes, but needs 256");
  refused([](ShmAnswer& answer) { answer.slots.pop_back(); },
          "the peer says connector slots = 3, but here it is 4");
  refused([](ShmAnswer& answer) { answer.region_bytes[0] = RawWorker::kRegionBytes + 4096; },
          "region 0: shared memory has 65536 bytes, but 69632 were announced");
  refused([](ShmAnswer& answer) { answer.region_bytes.assign(251, 4096); },
          "shm answer with 251 regions; at most 250");
  RawWorker worker(*hub_);
  Bootstrap without_memory = worker.bootstrap(worker.good_answer());
  without_memory.fds.clear();
  EXPECT_EQ(hub_->accept(worker.link(), std::move(without_memory)).message(),
            "shm answer with 0 descriptors for 1 regions");
  expect_good_link_works();
}

TEST_F(ShmHostileTest, MemoryThatCouldHurtTheHubIsRefused) {
  const auto refused = [&](base::Fd fd, const std::string& part) {
    RawWorker worker(*hub_);
    Bootstrap answer = worker.bootstrap(worker.good_answer());
    answer.fds[0] = std::move(fd);
    const Status status = hub_->accept(worker.link(), std::move(answer));
    EXPECT_EQ(status.code(), Code::permission_denied);
    EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
  };
  base::Fd unsealed(::memfd_create("unsealed", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(unsealed.get(), RawWorker::kRegionBytes), 0);
  refused(std::move(unsealed), "not sealed against shrinking");
  refused(base::make_sealed_memfd("small", 4096).value(), "has 4096 bytes, but 65536");
  refused(base::make_sealed_memfd("sparse", RawWorker::kRegionBytes).value(),
          "has pages for 0 bytes, but 65536 were announced");
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const base::Fd writer(ends[1]);
  refused(base::Fd(ends[0]), "not a memfd");
  expect_good_link_works();
}

}  // namespace phub::transport
