// Goal: a seed replays the same numbers on every machine for ever, and ranges are kept.
// Method: pinned values of the published algorithm, and coarse statistics.
#include "base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace phub::base {

TEST(RandomTest, SeedReplaysTheNumbersOfTheAlgorithm) {
  // splitmix64 from 1234567 fills the state; values from a second implementation (Python).
  Random random(1234567);
  Random again(1234567);
  std::array<uint64_t, 3> numbers;
  for (uint64_t& number : numbers) {
    number = random.next();
    EXPECT_EQ(again.next(), number);
  }
  EXPECT_EQ(numbers, (std::array<uint64_t, 3>{0x30a3a1c363600467u, 0x19405f0f579929cau,
                                              0x115beaac046ddbd9u}));
}

TEST(RandomTest, SeedsDiffer) {
  Random one(1), two(2);
  EXPECT_NE(one.next(), two.next());
}

TEST(RandomTest, BelowStaysBelowAndReachesEveryValue) {
  Random random(5);
  std::array<int, 7> seen{};
  for (int i = 0; i < 7000; ++i) ++seen.at(random.below(7));
  for (const int count : seen) EXPECT_NEAR(count, 1000, 200);
}

TEST(RandomTest, UnitIsInItsRangeAndChanceKeepsItsOdds) {
  Random random(6);
  int hits = 0;
  for (int i = 0; i < 10'000; ++i) {
    const double value = random.unit();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    hits += random.chance(0.25);
    ASSERT_FALSE(random.chance(0.0));
    ASSERT_TRUE(random.chance(1.0));
  }
  EXPECT_NEAR(hits, 2500, 250);
}

TEST(RandomTest, RandomBytesFillTheWholeSpan) {
  std::array<unsigned char, 1000> first{}, second{};
  random_bytes(first);
  random_bytes(second);
  EXPECT_NE(first, second);
  // 1,000 bytes of which the last 100 are all zero: once in 2^800.
  EXPECT_TRUE(std::any_of(first.end() - 100, first.end(), [](unsigned char c) { return c != 0; }));
  random_bytes({});
}

}  // namespace phub::base
