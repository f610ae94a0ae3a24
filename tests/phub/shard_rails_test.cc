// Goal: a shard tells a fabric over RDMA whose link it opens and which NIC each slot's results
// leave by; other fabrics hear nothing of NICs.
// Method: one shard over a fabric that only writes down what it is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "exchange/rails.h"
#include "exchange/wire.h"
#include "phub/shard.h"

namespace phub::hub {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class NotingFabric final : public transport::Fabric {
 public:
  NotingFabric(std::string name, std::vector<transport::LinkOptions>* opened)
      : name_(std::move(name)), opened_(opened) {}
  std::string_view name() const override { return name_; }
  transport::Traits traits() const override { return {}; }
  Result<std::span<std::byte>> allocate(size_t) override { return nothing(); }
  Result<transport::LinkId> open(const transport::LinkOptions& options,
                                 transport::Bootstrap*) override {
    opened_->push_back(options);
    return transport::LinkId{static_cast<uint32_t>(opened_->size() - 1)};
  }
  Status accept(transport::LinkId, transport::Bootstrap) override { return {}; }
  Result<transport::LinkId> connect(const transport::LinkOptions&, transport::Bootstrap,
                                    transport::Bootstrap*) override {
    return nothing();
  }
  void close(transport::LinkId) override {}
  std::string lost_reason(transport::LinkId) const override { return ""; }
  std::byte* window(transport::LinkId, uint32_t) override { return nullptr; }
  size_t put(std::span<const transport::Put> puts) override { return puts.size(); }
  size_t poll(transport::Instant, std::span<transport::Event>) override { return 0; }
  void release(const transport::Event&) override {}
  int fd() const override { return -1; }
  bool arm() override { return true; }
  void disarm() override {}

 private:
  static Status nothing() { return Status(Code::unimplemented, "it only takes notes"); }

  const std::string name_;
  std::vector<transport::LinkOptions>* const opened_;
};

// Shard 1 of two, on the node of the third and fourth NIC; four chunks are its own.
std::vector<transport::LinkOptions> open_links(const std::string& fabric_name) {
  auto epoch = std::make_shared<Epoch>();
  epoch->job = JobId{7};
  epoch->job_name = "resnet";
  epoch->number = 1;
  epoch->rank_count = 2;
  epoch->tensors = {{.name = "w", .count = 8 * 64}};
  epoch->hubs.shards = {{.numa_node = 0}, {.numa_node = 1}};
  for (uint32_t nic = 0; nic < 4; ++nic) {
    epoch->hubs.nics.push_back({.name = "mlx5_" + std::to_string(nic), .numa_node = nic / 2});
  }
  epoch->shards = exchange::shards_of(epoch->hubs, 0);
  epoch->map = exchange::ChunkMap::build(epoch->tensors, 64, epoch->hubs).value();
  epoch->states.resize(1);
  std::vector<transport::LinkOptions> opened;
  std::vector<std::unique_ptr<transport::Fabric>> fabrics;
  fabrics.push_back(std::make_unique<NotingFabric>(fabric_name, &opened));
  Shard shard(1, std::move(fabrics), kernels::Stores::ordinary, [](const RankFault&) {});
  const auto offers = shard.install(epoch, std::vector<uint32_t>{0, 0});
  EXPECT_TRUE(offers.ok()) << offers.status().message();
  shard.remove(epoch->job);
  return opened;
}

TEST(ShardRailsTest, OverRdmaEverySlotHasARailAmongTheShardsOwn) {
  const std::vector<transport::LinkOptions> opened = open_links("verbs");
  ASSERT_EQ(opened.size(), 2u);
  for (uint32_t rank = 0; rank < 2; ++rank) {
    EXPECT_THAT(opened[rank].rails, ElementsAre(0, 1, 0, 1));
    EXPECT_EQ(opened[rank].peer, "rank " + std::to_string(rank) + " of job \"resnet\"");
    EXPECT_EQ(opened[rank].domain, 7u);
    EXPECT_EQ(opened[rank].tag_slot_mask, exchange::kSlotCountMax - 1);
  }
}

TEST(ShardRailsTest, OtherFabricsChooseTheirWaysThemselves) {
  const std::vector<transport::LinkOptions> opened = open_links("tcp");
  ASSERT_EQ(opened.size(), 2u);
  EXPECT_THAT(opened[0].rails, IsEmpty());
}

}  // namespace
}  // namespace phub::hub
