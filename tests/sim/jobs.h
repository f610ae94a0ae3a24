// Jobs and networks for tests of simulated clusters, all of them functions of a seed.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/sim/cluster.h"

namespace phub::sim {

inline TensorSpec tensor(const std::string& name, uint64_t count, ReduceOp op = ReduceOp::sum) {
  TensorSpec spec;
  spec.name = name;
  spec.count = count;
  spec.op = op;
  return spec;
}

inline JobPlan small_job(const std::string& name, uint64_t seed) {
  JobPlan plan;
  plan.name = name;
  plan.rank_count = 1 + static_cast<uint32_t>(seed % 11);
  plan.rounds = 4;
  plan.tensors = {tensor("weights", 300 + seed % 100), tensor("bias", 1 + seed % 7),
                  tensor("scale", 64)};
  return plan;
}

inline transport::Faults rough_faults() {
  return {.loss = 0.2, .duplicate = 0.2, .delay_ns_min = 0, .delay_ns_max = 20'000};
}

inline void expect_exact(const Cluster& cluster, size_t job, uint64_t seed) {
  for (const std::unique_ptr<Trainer>& trainer : cluster.trainers(job)) {
    EXPECT_TRUE(trainer->is_done()) << "seed " << seed << ": " << trainer->failure().to_string();
    EXPECT_EQ(trainer->wrong(), 0u) << "seed " << seed;
  }
  EXPECT_TRUE(cluster.violations().empty())
      << "seed " << seed << ": " << cluster.violations().front();
}

inline ClusterOptions options_for(uint64_t seed) {
  ClusterOptions options;
  options.seed = seed;
  options.shard_count = 1 + static_cast<uint32_t>(seed % 3);
  options.faults = rough_faults();
  options.traits = {.by_reference = (seed & 1) != 0, .windows = (seed & 2) != 0};
  return options;
}

}  // namespace phub::sim
