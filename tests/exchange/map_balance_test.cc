// Goal: no shard has more than 3 % more to do than the mean, whatever their number, on the models
// that people train.
// Method: the tensor tables of perf/models, every shard count from 1 to 64.
#include <gtest/gtest.h>

#include <string>

#include "exchange/map.h"
#include "tests/exchange/models.h"

namespace phub::exchange {
namespace {

class MapBalanceTest : public testing::TestWithParam<const char*> {};

TEST_P(MapBalanceTest, LargestShardIsWithinThreePercentOfTheMean) {
  const std::vector<TensorSpec> tensors = load_model(GetParam());
  ASSERT_GE(tensors.size(), 16u);
  for (uint32_t shard_count = 1; shard_count <= 64; ++shard_count) {
    HubShape hub;
    hub.shards.resize(shard_count);
    const auto map = ChunkMap::build(tensors, 8192, hub);
    ASSERT_TRUE(map.ok()) << map.status().message();
    EXPECT_LE(map->imbalance(), 1.03) << shard_count << " shards";
    EXPECT_GE(map->imbalance(), 1.0) << shard_count << " shards";
    const Status status = map->verify(tensors);
    EXPECT_TRUE(status.ok()) << status.message();
  }
}

INSTANTIATE_TEST_SUITE_P(Models, MapBalanceTest,
                         testing::Values("resnet50", "vgg19", "alexnet", "bert_large"),
                         [](const auto& parameter) { return std::string(parameter.param); });

}  // namespace
}  // namespace phub::exchange
