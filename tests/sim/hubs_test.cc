// Goal: a job over several hubs gives exactly what one hub gives, and when a hub or a rank dies,
// every rank is told which. Method: as in cluster_test, with two to four hubs.
#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/sim/jobs.h"

namespace phub::sim {
namespace {

ClusterOptions several_hubs(uint64_t seed) {
  ClusterOptions options = options_for(seed);
  options.hub_count = 2 + static_cast<uint32_t>(seed / 5 % 3);
  return options;
}

TEST(HubsSimTest, LossDuplicationAndReorderingChangeNothing) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Cluster cluster(several_hubs(seed));
    const size_t job = cluster.start_job(small_job("sharded", seed));
    ASSERT_TRUE(cluster.run(10)) << "seed " << seed << " hangs " << cluster.describe();
    expect_exact(cluster, job, seed);
    if (HasFailure()) return;
  }
}

TEST(HubsSimTest, OverALossyWireTheDatagramFabricChangesNothing) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    ClusterOptions options = several_hubs(seed);
    options.traits = {};
    options.over_datagram = true;
    Cluster cluster(options);
    JobPlan plan = small_job("packets", seed);
    plan.rank_count = 1 + static_cast<uint32_t>(seed % 4);
    plan.rounds = 2;
    const size_t job = cluster.start_job(plan);
    ASSERT_TRUE(cluster.run(30)) << "seed " << seed << " hangs " << cluster.describe();
    expect_exact(cluster, job, seed);
    if (HasFailure()) return;
  }
}

// Whoever loses the hub first tells the others through the hubs that live, so that nobody takes the
// first one's leaving for the cause.
TEST(HubsSimTest, ADeadHubIsNamedToEveryRankWhoeverNoticesFirst) {
  uint64_t told = 0;
  for (uint64_t seed = 0; seed < 120; ++seed) {
    Cluster cluster(several_hubs(seed));
    JobPlan plan = small_job("half", seed);
    plan.rank_count = 2 + static_cast<uint32_t>(seed % 9);
    plan.rounds = 1000;
    plan.exits_on_failure = true;  // A rank that goes first must not be taken for the cause.
    const size_t job = cluster.start_job(plan);
    const auto victim = static_cast<uint32_t>(seed % 2);
    // Only the first rank notices at once; the others compute and look long afterwards.
    const auto set_computing = [&](bool is_computing) {
      for (size_t i = 1; i < cluster.trainers(job).size(); ++i) {
        cluster.trainers(job)[i]->is_computing = is_computing;
      }
    };
    const uint64_t crash_ns = 100'000 + seed * 5'000;
    cluster.after(crash_ns, [&] {
      cluster.crash_hub(victim);
      set_computing(true);
    });
    cluster.after(crash_ns + 300'000'000, [&] { set_computing(false); });
    ASSERT_TRUE(cluster.run(10)) << "seed " << seed << " hangs " << cluster.describe();
    for (const std::unique_ptr<Trainer>& trainer : cluster.trainers(job)) {
      EXPECT_NE(trainer->failure().message().find("hub sim://" + std::to_string(victim)),
                std::string::npos)
          << "seed " << seed << ": " << trainer->failure().to_string();
      EXPECT_EQ(trainer->wrong(), 0u) << "seed " << seed;
      ++told;
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(told, 300u);
}

TEST(HubsSimTest, AKilledRankIsNamedToEveryOtherRank) {
  uint64_t told = 0;
  for (uint64_t seed = 0; seed < 80; ++seed) {
    Cluster cluster(several_hubs(seed));
    JobPlan plan = small_job("doomed", seed);
    plan.rank_count = 2 + static_cast<uint32_t>(seed % 9);
    plan.rounds = 50;
    const size_t doomed = cluster.start_job(plan);
    const size_t other = cluster.start_job(small_job("other", seed));
    const uint32_t victim = static_cast<uint32_t>(base::Random(seed).below(plan.rank_count));
    cluster.after(150'000 + seed * 2'000, [&] { cluster.crash_rank(doomed, victim); });
    ASSERT_TRUE(cluster.run(10)) << "seed " << seed << " hangs " << cluster.describe();
    expect_exact(cluster, other, seed);
    for (const std::unique_ptr<Trainer>& trainer : cluster.trainers(doomed)) {
      if (trainer->is_crashed || trainer->is_done()) continue;
      ++told;
      EXPECT_NE(trainer->failure().message().find("rank " + std::to_string(victim)),
                std::string::npos)
          << "seed " << seed << ": " << trainer->failure().to_string();
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(told, 150u) << "hardly a crash came in time";
}

TEST(HubsSimTest, AFailedJobCanBeJoinedAgain) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Cluster cluster(several_hubs(seed));
    JobPlan plan = small_job("phoenix", seed);
    plan.rank_count = 3;
    plan.rounds = 1000;
    const size_t first = cluster.start_job(plan);
    cluster.after(400'000 + seed * 3'000, [&] { cluster.crash_rank(first, 1); });
    ASSERT_TRUE(cluster.run(10)) << "seed " << seed << " hangs " << cluster.describe();
    plan.rounds = 3;
    const size_t second = cluster.start_job(plan);
    ASSERT_TRUE(cluster.run(10)) << "seed " << seed << " hangs after the second start";
    expect_exact(cluster, second, seed);
    if (HasFailure()) return;
  }
}

// Hubs are not in step: one may have begun the new epoch when another still runs the old one.
TEST(HubsSimTest, NewTensorsComeByANewEpochWithoutARestart) {
  for (uint64_t seed = 0; seed < 120; ++seed) {
    Cluster cluster(several_hubs(seed));
    JobPlan plan = small_job("growing", seed);
    plan.rounds = 6;
    plan.later_tensors = {tensor("late", 500), tensor("later", 3)};
    const size_t job = cluster.start_job(plan);
    ASSERT_TRUE(cluster.run(10)) << "seed " << seed << " hangs " << cluster.describe();
    expect_exact(cluster, job, seed);
    if (HasFailure()) return;
  }
}

TEST(HubsSimTest, ACleanLeaveTakesEffectAtOneRoundOnAllHubs) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Cluster cluster(several_hubs(seed));
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

TEST(HubsSimTest, RanksThatListTheHubsInAnotherOrderAreToldSo) {
  Cluster cluster(several_hubs(3));
  JobPlan plan = small_job("crossed", 3);
  plan.rank_count = 2;
  plan.last_rank_reverses_hubs = true;
  const size_t job = cluster.start_job(plan);
  cluster.after(61'000'000'000, [] {});  // The hubs' join timeout is an event, too.
  ASSERT_TRUE(cluster.run(200)) << cluster.describe();
  uint64_t told = 0;
  for (const std::unique_ptr<Trainer>& trainer : cluster.trainers(job)) {
    const std::string& message = trainer->failure().message();
    told += message.find("same hubs in the same order") != std::string::npos;
  }
  EXPECT_GE(told, 1u);
}

}  // namespace
}  // namespace phub::sim
