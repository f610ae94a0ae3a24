// Goal: whatever the network does short of silence, every rank gets the exact result of every
// round; and when a process dies, everybody else is told who, at once, and nothing hangs. Method:
// many seeds, each a whole cluster in one thread; a failing seed replays exactly.
#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/sim/jobs.h"

namespace phub::sim {
namespace {

TEST(ClusterSimTest, LossDuplicationAndReorderingChangeNothing) {
  uint64_t duplicates = 0;
  for (uint64_t seed = 0; seed < 240; ++seed) {
    Cluster cluster(options_for(seed));
    const size_t job = cluster.start_job(small_job("digits", seed));
    ASSERT_TRUE(cluster.run(10)) << "seed " << seed << " hangs " << cluster.describe();
    expect_exact(cluster, job, seed);
    duplicates += cluster.duplicates();
    if (HasFailure()) return;
  }
  EXPECT_GT(duplicates, 1000u) << "the faults did not reach the hub";
}

TEST(ClusterSimTest, OverALossyWireTheDatagramFabricChangesNothing) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    ClusterOptions options = options_for(seed);
    options.traits = {};
    options.over_datagram = true;
    Cluster cluster(options);
    JobPlan plan = small_job("packets", seed);
    plan.chunk_elements = 1024;  // Chunks of up to three packets.
    plan.rank_count = 1 + static_cast<uint32_t>(seed % 4);
    plan.rounds = 2;
    plan.tensors[0].count = 2'500;
    const size_t job = cluster.start_job(plan);
    ASSERT_TRUE(cluster.run(30)) << "seed " << seed << " hangs " << cluster.describe();
    expect_exact(cluster, job, seed);
    if (HasFailure()) return;
  }
}

TEST(ClusterSimTest, AKilledRankIsNamedToEveryOtherRankAndOtherJobsGoOn) {
  uint64_t told = 0;
  for (uint64_t seed = 0; seed < 120; ++seed) {
    Cluster cluster(options_for(seed));
    JobPlan plan = small_job("doomed", seed);
    plan.rank_count = 2 + static_cast<uint32_t>(seed % 9);
    plan.rounds = 50;
    const size_t doomed = cluster.start_job(plan);
    const size_t other = cluster.start_job(small_job("other", seed));
    const uint32_t victim = static_cast<uint32_t>(base::Random(seed).below(plan.rank_count));
    cluster.after(150'000 + seed * 2'000, [&] { cluster.crash_rank(doomed, victim); });
    ASSERT_TRUE(cluster.run(10)) << "seed " << seed << " hangs " << cluster.describe();
    expect_exact(cluster, other, seed);
    const std::string name = "rank " + std::to_string(victim);
    for (const std::unique_ptr<Trainer>& trainer : cluster.trainers(doomed)) {
      if (trainer->is_crashed || trainer->is_done()) continue;
      ++told;
      EXPECT_EQ(trainer->failure().code(), Code::aborted) << "seed " << seed;
      EXPECT_NE(trainer->failure().message().find(name), std::string::npos)
          << "seed " << seed << ": " << trainer->failure().to_string();
      EXPECT_EQ(trainer->wrong(), 0u) << "seed " << seed;
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(told, 200u) << "hardly a crash came in time";
}

TEST(ClusterSimTest, AFailedJobCanBeJoinedAgain) {
  for (uint64_t seed = 0; seed < 24; ++seed) {
    Cluster cluster(options_for(seed));
    JobPlan plan = small_job("phoenix", seed);
    plan.rank_count = 3;
    plan.rounds = 1000;
    const size_t first = cluster.start_job(plan);
    cluster.after(400'000 + seed * 3'000, [&] { cluster.crash_rank(first, 1); });
    ASSERT_TRUE(cluster.run(10)) << "seed " << seed << " hangs " << cluster.describe();
    EXPECT_FALSE(cluster.trainers(first)[0]->is_done()) << "seed " << seed;

    plan.rounds = 3;
    const size_t second = cluster.start_job(plan);
    ASSERT_TRUE(cluster.run(10)) << "seed " << seed << " hangs after the second start";
    expect_exact(cluster, second, seed);
    if (HasFailure()) return;
  }
}

TEST(ClusterSimTest, ADeadHubIsNamedToEveryRank) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Cluster cluster(options_for(seed));
    JobPlan plan = small_job("orphans", seed);
    plan.rounds = 1000;
    const size_t job = cluster.start_job(plan);
    cluster.after(600'000 + seed * 5'000, [&] { cluster.crash_hub(); });
    ASSERT_TRUE(cluster.run(10)) << "seed " << seed << " hangs " << cluster.describe();
    for (const std::unique_ptr<Trainer>& trainer : cluster.trainers(job)) {
      EXPECT_EQ(trainer->failure().code(), Code::unavailable)
          << "seed " << seed << ": " << trainer->failure().to_string();
      EXPECT_NE(trainer->failure().message().find("hub"), std::string::npos)
          << trainer->failure().message();
    }
    if (HasFailure()) return;
  }
}

TEST(ClusterSimTest, ACleanLeaveTakesEffectAtOneRoundAndTheMeanDividesByWhoIsLeft) {
  for (uint64_t seed = 0; seed < 80; ++seed) {
    Cluster cluster(options_for(seed));
    JobPlan plan = small_job("leavers", seed);
    plan.rank_count = 2 + static_cast<uint32_t>(seed % 9);
    plan.rounds = 6;
    plan.last_rank_leaves_after = 1 + static_cast<uint32_t>(seed % 5);
    plan.tensors.push_back(tensor("mean", 200, ReduceOp::mean));
    const size_t job = cluster.start_job(plan);
    ASSERT_TRUE(cluster.run(10)) << "seed " << seed << " hangs " << cluster.describe();
    expect_exact(cluster, job, seed);
    if (HasFailure()) return;
  }
}

TEST(ClusterSimTest, ARankThatLeavesWhileItsJobIsSetUpHoldsNobodyUp) {
  uint64_t told = 0;
  for (uint64_t seed = 0; seed < 120; ++seed) {
    Cluster cluster(options_for(seed));
    JobPlan plan = small_job("hasty", seed);
    plan.rank_count = 3;
    const size_t job = cluster.start_job(plan);
    Trainer& hasty = *cluster.trainers(job)[1];
    cluster.after(seed * 3'000, [&hasty] {
      if (hasty.client() == nullptr) return;
      if (hasty.client()->begin_leave().ok()) hasty.is_crashed = true;  // It does nothing more.
    });
    cluster.after(61'000'000'000, [] {});  // The hub's join timeout is an event, too.
    ASSERT_TRUE(cluster.run(200)) << "seed " << seed << " hangs " << cluster.describe();
    for (const std::unique_ptr<Trainer>& trainer : cluster.trainers(job)) {
      if (trainer->is_crashed || trainer->is_done()) continue;
      told += trainer->failure().message().find("rank 1") != std::string::npos;
      EXPECT_FALSE(trainer->failure().message().empty()) << "seed " << seed;
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(told, 20u) << "hardly a rank left in time";
}

TEST(ClusterSimTest, NewTensorsComeByANewEpochWithoutARestart) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Cluster cluster(options_for(seed));
    JobPlan plan = small_job("growing", seed);
    plan.rounds = 6;
    plan.later_tensors = {tensor("late", 500), tensor("later", 3)};
    const size_t job = cluster.start_job(plan);
    ASSERT_TRUE(cluster.run(10)) << "seed " << seed << " hangs " << cluster.describe();
    expect_exact(cluster, job, seed);
    if (HasFailure()) return;
  }
}

TEST(ClusterSimTest, ManyJobsShareTheShards) {
  Cluster cluster(options_for(7));
  std::vector<size_t> jobs;
  for (uint64_t i = 0; i < 12; ++i) {
    jobs.push_back(cluster.start_job(small_job("job" + std::to_string(i), i)));
  }
  ASSERT_TRUE(cluster.run(10));
  for (const size_t job : jobs) expect_exact(cluster, job, 7);
}

TEST(ClusterSimTest, AThousandAndTwentyFourRanksSumOneTensor) {
  ClusterOptions options;
  options.traits = {.by_reference = true, .windows = true};
  Cluster cluster(options);
  JobPlan plan;
  plan.rank_count = kRankCountMax;
  plan.rounds = 2;
  plan.tensors = {tensor("all", 100, ReduceOp::mean), tensor("sum", 70)};
  const size_t job = cluster.start_job(plan);
  ASSERT_TRUE(cluster.run(10));
  expect_exact(cluster, job, 1);
}

}  // namespace
}  // namespace phub::sim
