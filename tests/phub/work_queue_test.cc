// Goal: urgent chunks first, equals in slot order, nobody twice.
// Method: small cases, and random ones against a sorted set.
#include "phub/work_queue.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"

namespace phub::hub {
namespace {

TEST(WorkQueueTest, LargerPriorityComesFirstAndEqualsInSlotOrder) {
  const std::vector<int32_t> priorities = {0, 5, 5, -3, 9};
  WorkQueue queue(priorities);
  for (const uint32_t slot : {3u, 2u, 0u, 1u, 4u, 2u, 4u}) queue.push(slot);
  std::vector<uint32_t> order;
  while (!queue.empty()) order.push_back(queue.pop());
  EXPECT_EQ(order, (std::vector<uint32_t>{4, 1, 2, 0, 3}));
}

class WorkQueueSizeTest : public testing::TestWithParam<size_t> {};

TEST_P(WorkQueueSizeTest, RandomPushesAndPopsAgreeWithASet) {
  base::Random random(1);
  std::vector<int32_t> priorities(GetParam());
  for (int32_t& priority : priorities) priority = static_cast<int32_t>(random.below(7)) - 3;
  WorkQueue queue(priorities);
  std::set<std::pair<int32_t, uint32_t>> model;  // Falling priority, rising slot.
  for (int step = 0; step < 20'000; ++step) {
    if (random.chance(0.55)) {
      const uint32_t slot = static_cast<uint32_t>(random.below(priorities.size()));
      queue.push(slot);
      model.emplace(-priorities[slot], slot);
    } else if (!model.empty()) {
      ASSERT_EQ(queue.front(), model.begin()->second);
      ASSERT_EQ(queue.pop(), model.begin()->second);
      model.erase(model.begin());
    }
    ASSERT_EQ(queue.empty(), model.empty());
  }
}

// Around the widths of one word and of two levels.
INSTANTIATE_TEST_SUITE_P(Sizes, WorkQueueSizeTest,
                         testing::Values(1, 2, 63, 64, 65, 200, 4095, 4096, 4097, 300'000));

}  // namespace
}  // namespace phub::hub
