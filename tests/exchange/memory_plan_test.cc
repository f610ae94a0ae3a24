// Goal: what a job costs is said before it is taken.
// Method: the formulas by hand on small tables.
#include "exchange/memory_plan.h"

#include <gtest/gtest.h>

namespace phub::exchange {
namespace {

MemoryPlan plan(std::vector<TensorSpec> tensors, uint32_t rank_count, bool by_reference) {
  const auto map = ChunkMap::build(tensors, 64, HubShape{.shards = {{}, {}}, .nics = {}});
  EXPECT_TRUE(map.ok());
  return plan_memory(tensors, *map, {0, 2}, rank_count, by_reference);
}

TensorSpec tensor(DataType type, uint64_t count, OptimizerKind kind = OptimizerKind::none) {
  return {.name = "t", .type = type, .count = count, .optimizer = {.kind = kind}};
}

TEST(MemoryPlanTest, SlotsAndResultsAreForFabricsThatCopy) {
  // 65 elements: one chunk of 256 bytes, one of 4 padded to 64.
  const MemoryPlan copied = plan({tensor(DataType::fp32, 65)}, 4, false);
  EXPECT_EQ(copied.slot_bytes, 4u * 320);
  EXPECT_EQ(copied.result_bytes, 2u * 320);
  const MemoryPlan referenced = plan({tensor(DataType::fp32, 65)}, 4, true);
  EXPECT_EQ(referenced.slot_bytes, 0u);
  EXPECT_EQ(referenced.result_bytes, 0u);
}

TEST(MemoryPlanTest, AccumulatorsAreForMoreThanEightRanksOrClipping) {
  EXPECT_EQ(plan({tensor(DataType::bf16, 65)}, 8, true).accumulator_bytes, 0u);
  EXPECT_EQ(plan({tensor(DataType::bf16, 65)}, 9, true).accumulator_bytes, 320u);
  EXPECT_EQ(plan({tensor(DataType::int64, 65)}, 9, true).accumulator_bytes, 512u + 64);
  TensorSpec clipped = tensor(DataType::fp16, 65, OptimizerKind::sgd);
  clipped.optimizer.clip_global_norm = 1;
  EXPECT_EQ(plan({clipped}, 2, true).accumulator_bytes, 320u);
}

TEST(MemoryPlanTest, OptimizersKeepFloat32WeightsAndMoments) {
  const auto bytes = [](OptimizerKind kind) {
    return plan({tensor(DataType::fp16, 64, kind)}, 2, true).optimizer_bytes;
  };
  EXPECT_EQ(bytes(OptimizerKind::none), 0u);
  EXPECT_EQ(bytes(OptimizerKind::sgd), 4096u);  // A page each.
  EXPECT_EQ(bytes(OptimizerKind::momentum), 2 * 4096u);
  EXPECT_EQ(bytes(OptimizerKind::nesterov), 2 * 4096u);
  EXPECT_EQ(bytes(OptimizerKind::adam), 3 * 4096u);
  EXPECT_EQ(bytes(OptimizerKind::adamw), 3 * 4096u);
}

TEST(MemoryPlanTest, TablesGrowWithChunksAndRanks) {
  // The map 36, the shard 79, 16 for each rank's summand, 2 for each block of eight ranks.
  EXPECT_EQ(plan({tensor(DataType::fp32, 64)}, 2, true).table_bytes, 36u + 79 + 32 + 2);
  EXPECT_EQ(plan({tensor(DataType::fp32, 128)}, 2, true).table_bytes, 2u * (36 + 79 + 32 + 2));
  EXPECT_EQ(plan({tensor(DataType::fp32, 64)}, 1024, true).table_bytes, 36u + 79 + 16384 + 256);
}

TEST(MemoryPlanTest, EveryRankHasALinkToEveryShard) {
  // Two shards with one chunk each: 18 puts at most, so rings of 32 places, each 52 bytes and a
  // cookie of 8; the rings' header of 512; 36 for the one slot.
  const uint64_t link = 512 + 32 * (52 + 8) + 36;
  EXPECT_EQ(plan({tensor(DataType::fp32, 128)}, 3, true).link_bytes, 3 * 2 * link);
}

TEST(MemoryPlanTest, TheTotalIsTheSumOfTheParts) {
  const MemoryPlan p = plan({tensor(DataType::fp32, 1000, OptimizerKind::adam)}, 16, false);
  EXPECT_EQ(p.total_bytes(), p.slot_bytes + p.result_bytes + p.accumulator_bytes +
                                 p.optimizer_bytes + p.table_bytes + p.link_bytes +
                                 p.control_bytes);
  EXPECT_GT(p.accumulator_bytes, 0u);
}

}  // namespace
}  // namespace phub::exchange
