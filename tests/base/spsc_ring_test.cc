// Goal: items come out once and in order, whatever the timing; and a peer that writes nonsense into
// the shared indexes gets a flag or a full ring, never an access outside the ring.
// Method: small capacities, indexes near their wrap, two threads, a peer that writes any index.
#include "base/spsc_ring.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "base/random.h"
#include "base/thread.h"

namespace phub::base {
namespace {

constexpr uint64_t kCapacity = 8;

struct Ring {
  SpscIndexes indexes;
  // Guards on both sides: an access outside shows.
  std::array<uint64_t, kCapacity + 2> items{};
  SpscProducer<uint64_t> producer{&indexes, items.data() + 1, kCapacity};
  SpscConsumer<uint64_t> consumer{&indexes, items.data() + 1, kCapacity};

  bool are_guards_whole() const { return items.front() == 0 && items.back() == 0; }
};

}  // namespace

TEST(SpscRingTest, ItemsComeOutInOrderOverManyWraps) {
  Ring ring;
  uint64_t put = 0, taken = 0;
  Random random(3);
  while (taken < 1000) {
    for (uint64_t i = random.below(kCapacity + 1); i > 0 && ring.producer.free_count() > 0; --i) {
      ring.producer.stage(++put);
    }
    ring.producer.publish();
    EXPECT_EQ(ring.consumer.available(), put - taken);
    for (uint64_t i = random.below(kCapacity + 1); i > 0 && ring.consumer.available() > 0; --i) {
      ASSERT_EQ(ring.consumer.take(), ++taken);
      ring.consumer.publish();
    }
  }
  EXPECT_FALSE(ring.consumer.is_corrupt());
  EXPECT_TRUE(ring.are_guards_whole());
}

TEST(SpscRingTest, StagedItemsAreInvisibleUntilPublished) {
  Ring ring;
  ring.producer.stage(1);
  EXPECT_EQ(ring.consumer.available(), 0u);
  ring.producer.publish();
  EXPECT_EQ(ring.consumer.available(), 1u);
}

TEST(SpscRingTest, FullRingHasNoRoomUntilTheConsumerPublishes) {
  Ring ring;
  for (uint64_t i = 0; i < kCapacity; ++i) {
    EXPECT_EQ(ring.producer.free_count(), kCapacity - i);
    ring.producer.stage(i);
  }
  EXPECT_EQ(ring.producer.free_count(), 0u);
  ring.producer.publish();
  EXPECT_EQ(ring.consumer.take(), 0u);
  EXPECT_EQ(ring.producer.free_count(), 0u);
  ring.consumer.publish();
  EXPECT_EQ(ring.producer.free_count(), 1u);
}

TEST(SpscRingTest, ImpossibleTailIsCorruptionNotItems) {
  for (const uint64_t tail : {kCapacity + 1, uint64_t{1} << 63, UINT64_MAX}) {
    Ring ring;
    ring.indexes.tail = tail;
    EXPECT_EQ(ring.consumer.available(), 0u) << tail;
    EXPECT_TRUE(ring.consumer.is_corrupt()) << tail;
  }
}

TEST(SpscRingTest, TailThatRunsBackwardsIsCorruption) {
  Ring ring;
  ring.indexes.tail = 2;
  ring.consumer.take();
  ring.consumer.take();
  ring.indexes.tail = 1;
  EXPECT_EQ(ring.consumer.available(), 0u);
  EXPECT_TRUE(ring.consumer.is_corrupt());
}

TEST(SpscRingTest, ImpossibleHeadIsAFullRing) {
  for (const uint64_t head : {uint64_t{1}, uint64_t{1} << 63, UINT64_MAX - kCapacity}) {
    Ring ring;
    ring.indexes.head = head;
    EXPECT_EQ(ring.producer.free_count(), 0u) << head;
  }
}

TEST(SpscRingTest, HostileIndexesNeverLeadOutsideTheRing) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Ring ring;
    Random random(seed);
    const auto hostile = [&] { return random.chance(0.5) ? random.below(20) : random.next(); };
    for (int i = 0; i < 100; ++i) {
      if (random.chance(0.3)) ring.indexes.tail = hostile();
      if (random.chance(0.3)) ring.indexes.head = hostile();
      const uint64_t room = ring.producer.free_count();
      ASSERT_LE(room, kCapacity);
      for (uint64_t n = 0; n < room; ++n) ring.producer.stage(1);
      ring.producer.publish();
      if (random.chance(0.3)) ring.indexes.tail = hostile();
      const uint64_t count = ring.consumer.available();
      ASSERT_LE(count, kCapacity);
      for (uint64_t n = 0; n < count; ++n) ring.consumer.take();
      ring.consumer.publish();
    }
    EXPECT_TRUE(ring.are_guards_whole()) << "seed " << seed;
  }
}

TEST(SpscRingTest, TwoThreadsPassEveryItemOnceInOrder) {
  constexpr uint64_t kItems = 20'000;
  constexpr uint64_t kRoom = 256;
  SpscIndexes indexes;
  std::array<uint64_t, kRoom> items{};
  SpscProducer<uint64_t> input(&indexes, items.data(), kRoom);
  SpscConsumer<uint64_t> output(&indexes, items.data(), kRoom);
  Thread producer("producer", -1, [&] {
    for (uint64_t next = 1; next <= kItems;) {
      uint64_t room = input.free_count();
      if (room == 0) std::this_thread::yield();
      for (; room > 0 && next <= kItems; --room) input.stage(next++);
      input.publish();
    }
  });
  uint64_t expected = 1;
  while (expected <= kItems) {
    uint64_t count = output.available();
    if (count == 0) std::this_thread::yield();
    for (; count > 0; --count) {
      const uint64_t item = output.take();
      if (item != expected) ADD_FAILURE() << item << " instead of " << expected;
      ++expected;
    }
    output.publish();
  }
  EXPECT_FALSE(output.is_corrupt());
}

}  // namespace phub::base
