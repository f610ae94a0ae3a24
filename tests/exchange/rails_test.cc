// Goal: on a machine with many NICs every chunk travels by one on its shard's NUMA node, and no NIC
// has much more to carry than another.
// Method: the paper's appliance (two sockets, ten NICs) with the tensor tables of perf/models; odd
// machines by hand.
#include "exchange/rails.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/exchange/models.h"

namespace phub::exchange {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint32_t kChunk = 8192;

HubShape make_appliance(uint32_t shards) {
  HubShape hub;
  for (uint32_t i = 0; i < shards; ++i) hub.shards.push_back({.numa_node = i % 2});
  for (uint32_t i = 0; i < 10; ++i) {
    hub.nics.push_back({.name = "mlx5_" + std::to_string(i), .numa_node = i / 5});
  }
  return hub;
}

class RailsTest : public testing::TestWithParam<const char*> {};

// The bound of rails.h: a chunk, and one for each shard of the node, shared among five NICs.
TEST_P(RailsTest, ChunksStayOnTheirNodeAndNicsCarryAlike) {
  const std::vector<TensorSpec> tensors = load_model(GetParam());
  ASSERT_GE(tensors.size(), 16u);
  for (const uint32_t shards : {2u, 4u, 8u, 10u, 20u, 28u}) {
    const HubShape hub = make_appliance(shards);
    const auto map = ChunkMap::build(tensors, kChunk, hub);
    ASSERT_TRUE(map.ok()) << map.status().message();
    for (const Chunk& chunk : map->chunks()) {
      ASSERT_EQ(hub.nics[chunk.nic].numa_node, hub.shards[chunk.shard].numa_node);
    }
    const std::vector<NicLoad> loads = nic_loads(*map, tensors, hub);
    uint64_t total = 0;
    uint64_t largest = 0;
    for (const NicLoad& load : loads) {
      total += load.elements;
      largest = std::max(largest, load.elements);
      EXPECT_EQ(load.bytes, load.elements * sizeof(float));
    }
    EXPECT_LE(largest, total / 10 + uint64_t{kChunk} * (1 + shards / 2 / 5 + 1)) << shards;
    EXPECT_LE(nic_imbalance(loads), 1.03) << shards;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, RailsTest,
                         testing::Values("resnet50", "vgg19", "alexnet", "bert_large"),
                         [](const auto& parameter) { return std::string(parameter.param); });

TEST(RailsOfShardTest, BothEndsCountTheNicsOfTheShardsNode) {
  const HubShape hub = make_appliance(2);
  EXPECT_THAT(nics_of_shard(hub, 0), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(nics_of_shard(hub, 1), ElementsAre(5, 6, 7, 8, 9));
  const std::vector<TensorSpec> tensors = {{.name = "w", .count = 20 * kChunk}};
  const auto map = ChunkMap::build(tensors, kChunk, hub);
  ASSERT_TRUE(map.ok());
  const std::vector<uint8_t> rails = rails_of_shard(*map, hub, 1);
  ASSERT_EQ(rails.size(), map->chunks_of_shard(1).size());
  for (size_t slot = 0; slot < rails.size(); ++slot) {
    EXPECT_EQ(map->chunks()[map->chunks_of_shard(1)[slot]].nic, 5u + rails[slot]);
  }
  // Neighbours travel by different NICs: a tensor's chunks are pushed together.
  EXPECT_THAT(rails, ElementsAre(0, 1, 2, 3, 4, 0, 1, 2, 3, 4));
}

TEST(RailsOfShardTest, ANodeWithoutNicsUsesAllAndAHubWithoutNicsHasNoRails) {
  HubShape hub = make_appliance(2);
  hub.shards[1].numa_node = 7;
  EXPECT_EQ(nics_of_shard(hub, 1).size(), 10u);
  const HubShape bare{.shards = {{}}, .nics = {}};
  const HubShape joined = join_hubs(std::vector{hub, bare});
  const std::vector<TensorSpec> tensors = {{.name = "w", .count = 12 * 64}};
  const auto map = ChunkMap::build(tensors, 64, joined);
  ASSERT_TRUE(map.ok());
  EXPECT_THAT(nics_of_shard(joined, 2), IsEmpty());
  EXPECT_THAT(rails_of_shard(*map, joined, 2), IsEmpty());
  EXPECT_EQ(rails_of_shard(*map, joined, 1).size(), map->chunks_of_shard(1).size());
  uint64_t chunks = 0;
  for (const NicLoad& load : nic_loads(*map, tensors, joined)) chunks += load.chunks;
  EXPECT_EQ(chunks, map->chunks().size() - map->chunks_of_shard(2).size());
  EXPECT_THAT(to_text(*map, tensors, joined), HasSubstr(" 1 0 -1 0 - - "));
}

TEST(RailsOfShardTest, TheTextNamesNicQueuePairAndLoad) {
  const HubShape hub = make_appliance(2);
  const std::vector<TensorSpec> tensors = {{.name = "w", .type = DataType::fp16, .count = 20 * 64}};
  const auto map = ChunkMap::build(tensors, 64, hub);
  ASSERT_TRUE(map.ok());
  const std::string text = to_text(*map, tensors, hub);
  EXPECT_THAT(text, HasSubstr("\n10 NICs, max/mean 1.0000\nnic hub numa chunks elements bytes\n"
                              "mlx5_0 0 0 2 128 256\n"));
  EXPECT_THAT(text, HasSubstr("numa nic qp slot name\n0 0 0 64 0 0 -1 0 mlx5_0 0 0 w\n"));
}

TEST(RailsOfShardTest, MoreNicsThanALinkCanNameAreRefused) {
  HubShape hub{.shards = {{}}, .nics = {}};
  hub.nics.resize(kRailsMax);
  EXPECT_TRUE(check_shape(hub).ok());
  hub.nics.emplace_back();
  EXPECT_THAT(check_shape(hub).message(), HasSubstr("more than 256 NICs"));
}

}  // namespace
}  // namespace phub::exchange
