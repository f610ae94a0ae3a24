// Goal: what several hubs answer becomes the answer of one. Method: a map over three hubs, replies
// made by hand.
#include "worker_lib/replies.h"

#include <gtest/gtest.h>

#include <cstring>

namespace phub::client {
namespace {

constexpr uint32_t kHubs = 3;
constexpr uint64_t kElements = 1000;

class JoinStateTest : public testing::Test {
 protected:
  void SetUp() override {
    exchange::HubShape one;
    one.shards.resize(2);
    hubs_ = exchange::join_hubs(std::vector<exchange::HubShape>(kHubs, one));
    tensors_ = {{.name = "a", .count = 100}, {.name = "b", .count = kElements}};
    map_ = *exchange::ChunkMap::build(tensors_, 64, hubs_);
  }

  // Every hub answers with its own number in every place, as if it held all of them.
  Request answered(uint64_t first, uint64_t count) const {
    exchange::StateQuery query;
    query.tensor = 1;
    query.first_element = first;
    query.count = count;
    Request request{query, {}};
    for (uint32_t hub = 0; hub < kHubs; ++hub) {
      const std::vector<float> values(count, static_cast<float>(hub));
      exchange::StateReply reply;
      reply.step_count = hub == 1 ? 17 : 0;
      reply.blob.resize(count * sizeof(float));
      std::memcpy(reply.blob.data(), values.data(), reply.blob.size());
      request.replies.push_back(reply);
    }
    return request;
  }

  exchange::HubShape hubs_;
  std::vector<TensorSpec> tensors_;
  exchange::ChunkMap map_;
};

TEST_F(JoinStateTest, EachElementComesFromTheHubThatOwnsItsChunk) {
  for (const auto& [first, count] : {std::pair<uint64_t, uint64_t>{0, kElements}, {37, 600}}) {
    const exchange::StateReply joined = join_state(answered(first, count), map_, hubs_);
    ASSERT_EQ(joined.blob.size(), count * sizeof(float));
    EXPECT_EQ(joined.step_count, 17u);
    const auto [begin, end] = map_.chunks_of_tensor(1);
    for (uint64_t i = 0; i < count; ++i) {
      float value = -1;
      std::memcpy(&value, joined.blob.data() + i * sizeof(float), sizeof(float));
      const exchange::Chunk& chunk = map_.chunks()[begin + (first + i) / 64];
      EXPECT_EQ(value, static_cast<float>(hubs_.shards[chunk.shard].hub)) << "element " << i;
    }
    EXPECT_GT(end, begin);
  }
}

TEST_F(JoinStateTest, TheErrorOfOneHubIsTheAnswer) {
  Request request = answered(0, 10);
  exchange::StateReply refused;
  refused.code = static_cast<uint8_t>(Code::not_found);
  refused.message = "no such tensor";
  request.replies[2] = refused;
  EXPECT_EQ(join_state(request, map_, hubs_).message, "no such tensor");
}

TEST(JoinLateTest, HubsThatSayNothingAreLeftOut) {
  Request request{exchange::LateQuery{1}, {}};
  request.replies = {exchange::LateReport{1, ""}, exchange::LateReport{1, "rank 2 is missing"},
                     std::nullopt, exchange::LateReport{1, "rank 3 is missing"}};
  EXPECT_EQ(join_late(request), "rank 2 is missing; rank 3 is missing");
  EXPECT_FALSE(request.is_complete());
}

}  // namespace
}  // namespace phub::client
