// Goal: whatever order, duplication and rank count, a round completes exactly once, when every
// active rank has pushed, and blocks become ready in rank order. Method: every interleaving of
// small cases; random long ones against a set-based model.
#include "phub/chunk_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/random.h"

namespace phub::hub {
namespace {

TEST(ChunkStateTest, EveryArrivalOrderOfUpToSixRanksCompletesOnceAtTheLastRank) {
  for (uint32_t ranks = 1; ranks <= 6; ++ranks) {
    std::vector<uint32_t> order(ranks);
    for (uint32_t i = 0; i < ranks; ++i) order[i] = i;
    do {
      ChunkStates states(1, ranks);
      for (uint32_t round = 1; round <= 3; ++round) {
        for (uint32_t i = 0; i < ranks; ++i) {
          ASSERT_FALSE(states.is_complete(0));
          ASSERT_EQ(states.on_push(0, order[i], round), Verdict::accepted);
          ASSERT_EQ(states.on_push(0, order[i], round), Verdict::duplicate);
        }
        ASSERT_TRUE(states.is_complete(0));
        states.finish_round(0);
        ASSERT_EQ(states.done_rounds(0), round);
      }
    } while (std::next_permutation(order.begin(), order.end()));
  }
}

TEST(ChunkStateTest, RoundsAroundTheOpenOneGetTheirVerdict) {
  ChunkStates states(1, 1);
  EXPECT_EQ(states.on_push(0, 0, 0), Verdict::invalid) << "no round is done yet";
  EXPECT_EQ(states.on_push(0, 0, 2), Verdict::invalid) << "round 1 comes first";
  EXPECT_EQ(states.on_push(0, 0, 15), Verdict::invalid) << "before the beginning";
  for (uint32_t round = 1; round <= 40; ++round) {
    EXPECT_EQ(states.on_push(0, 0, round & 15), Verdict::accepted);
    states.finish_round(0);
    EXPECT_EQ(states.on_push(0, 0, round & 15), Verdict::stale);
    if (round > 1) {
      EXPECT_EQ(states.on_push(0, 0, (round - 1) & 15), Verdict::duplicate);
    }
    EXPECT_EQ(states.on_push(0, 0, (round + 2) & 15), Verdict::invalid);
    EXPECT_EQ(states.on_push(0, 0, (round + 8) & 15), Verdict::invalid);
  }
  EXPECT_EQ(states.on_push(0, 0, (40 - 7) & 15), Verdict::duplicate) << "seven rounds late";
}

TEST(ChunkStateTest, BlocksAreReadyInRankOrderOnly) {
  ChunkStates states(1, 20);  // Blocks of 8, 8 and 4 ranks.
  ASSERT_EQ(states.block_count(), 3u);
  for (uint32_t rank = 8; rank < 20; ++rank) {
    EXPECT_EQ(states.on_push(0, rank, 1), Verdict::accepted);
  }
  EXPECT_TRUE(states.is_block_ready(0, 1));
  EXPECT_TRUE(states.is_block_ready(0, 2));
  EXPECT_FALSE(states.is_block_ready(0, 0));
  EXPECT_EQ(states.next_block(0), 0u);
  for (uint32_t rank = 0; rank < 8; ++rank) {
    EXPECT_FALSE(states.is_complete(0));
    EXPECT_EQ(states.on_push(0, rank, 1), Verdict::accepted);
  }
  EXPECT_TRUE(states.is_block_ready(0, 0));
  EXPECT_TRUE(states.is_complete(0));
  EXPECT_EQ(states.last_block(0), 2u);
  EXPECT_EQ(states.arrived_in_block(0, 2), 0x0f);
}

TEST(ChunkStateTest, ARankThatLeavesIsNoLongerAwaitedAndItsLateCopiesAreDropped) {
  ChunkStates states(2, 3);
  EXPECT_EQ(states.on_push(0, 0, 1), Verdict::accepted);
  EXPECT_EQ(states.on_push(0, 1, 1), Verdict::accepted);
  states.remove_rank(2);
  EXPECT_TRUE(states.is_complete(0));
  EXPECT_FALSE(states.is_complete(1));
  EXPECT_EQ(states.arrived_count(0), 2u);
  states.finish_round(0);
  EXPECT_EQ(states.on_push(0, 2, 2), Verdict::duplicate);
  EXPECT_EQ(states.active_count(), 2u);
  states.remove_rank(2);
  EXPECT_EQ(states.active_count(), 2u) << "leaving twice counts once";
}

TEST(ChunkStateTest, ARankThatPushedBeforeItLeftStillContributes) {
  ChunkStates states(1, 2);
  EXPECT_EQ(states.on_push(0, 1, 1), Verdict::accepted);
  states.remove_rank(1);
  EXPECT_FALSE(states.is_complete(0));
  EXPECT_EQ(states.on_push(0, 0, 1), Verdict::accepted);
  EXPECT_TRUE(states.is_complete(0));
  EXPECT_EQ(states.arrived_count(0), 2u);
  states.finish_round(0);
  EXPECT_EQ(states.on_push(0, 0, 2), Verdict::accepted);
  EXPECT_TRUE(states.is_complete(0));
}

TEST(ChunkStateTest, LongRandomHistoriesAgreeWithAModel) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    base::Random random(seed);
    const uint32_t ranks = 1 + static_cast<uint32_t>(random.below(40));
    ChunkStates states(1, ranks);
    std::set<uint32_t> active;
    for (uint32_t rank = 0; rank < ranks; ++rank) active.insert(rank);
    std::set<uint32_t> arrived;
    uint32_t done = 0;
    for (int step = 0; step < 2000; ++step) {
      const uint32_t rank = static_cast<uint32_t>(random.below(ranks));
      if (random.chance(0.002) && active.size() > 1) {
        states.remove_rank(rank);
        active.erase(rank);
      } else {
        const bool is_new = active.contains(rank) && !arrived.contains(rank);
        ASSERT_EQ(states.on_push(0, rank, (done + 1) & 15),
                  is_new ? Verdict::accepted : Verdict::duplicate)
            << "seed " << seed << " step " << step;
        if (is_new) arrived.insert(rank);
      }
      const bool is_complete =
          std::includes(arrived.begin(), arrived.end(), active.begin(), active.end());
      ASSERT_EQ(states.is_complete(0), is_complete) << "seed " << seed << " step " << step;
      ASSERT_EQ(states.arrived_count(0), arrived.size());
      if (!is_complete) continue;
      states.finish_round(0);
      arrived.clear();
      ++done;
    }
    ASSERT_EQ(states.done_rounds(0), done);
  }
}

}  // namespace
}  // namespace phub::hub
