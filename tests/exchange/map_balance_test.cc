// Goal: no shard has more than 3 % more to do than the mean, whatever their number, on the models
// that people train.
// Method: the tensor tables of perf/models, every shard count from 1 to 64.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "exchange/map.h"

namespace phub::exchange {
namespace {

std::vector<TensorSpec> load_model(const std::string& name) {
  std::ifstream file(std::string(PHUB_TEST_MODELS) + "/" + name + ".csv");
  std::vector<TensorSpec> tensors;
  for (std::string line; std::getline(file, line);) {
    const size_t comma = line.find(',');
    if (line.starts_with('#') || comma == std::string::npos) continue;
    TensorSpec& tensor = tensors.emplace_back();
    tensor.name = line.substr(0, comma);
    tensor.count = std::stoull(line.substr(comma + 1));
  }
  return tensors;
}

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
