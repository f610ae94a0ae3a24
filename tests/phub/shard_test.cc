// Goal: a shard survives what no correct worker does, and settings hold for as long as a round may
// need them. Method: one shard and its ranks over real shared memory, in one thread.
#include "phub/shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "exchange/wire.h"
#include "transport/open.h"

namespace phub::hub {
namespace {

using testing::HasSubstr;

constexpr uint32_t kElements = 64;

// Two ranks, two tensors of one chunk each.
class ShardTest : public testing::Test {
 protected:
  struct Peer {
    std::unique_ptr<transport::Fabric> fabric;
    transport::LinkId link{0};
    std::byte* gradient = nullptr;
    std::byte* result = nullptr;
  };

  void SetUp() override {
    auto epoch = std::make_shared<Epoch>();
    epoch->job = kJob;
    epoch->number = 1;
    epoch->rank_count = 2;
    epoch->tensors.resize(2);
    for (TensorSpec& spec : epoch->tensors) {
      spec.name = "t" + std::to_string(&spec - epoch->tensors.data());
      spec.count = kElements;
    }
    epoch->states.resize(2);
    epoch->counters = std::vector<JobCounters>(1);
    exchange::HubShape shape;
    shape.shards.resize(1);
    epoch->shards = {0, 1};
    epoch->map = *exchange::ChunkMap::build(epoch->tensors, kElements, shape);
    std::vector<std::unique_ptr<transport::Fabric>> fabrics;
    fabrics.push_back(std::move(transport::open_fabric("shm")).value());
    shard_ = std::make_unique<Shard>(0, std::move(fabrics), kernels::Stores::ordinary,
                                     [this](const RankFault& fault) { faults_.push_back(fault); });
    offers_ = shard_->install(epoch, std::vector<uint32_t>(2, 0)).value();
  }

  Status join(uint32_t rank) {
    Peer& peer = peers_[rank];
    peer.fabric = std::move(transport::open_fabric("shm")).value();
    peer.gradient = peer.fabric->allocate(2 * kBytes)->data();
    peer.result = peer.fabric->allocate(2 * kBytes)->data();
    transport::LinkOptions options;
    options.slots = {{peer.result, kBytes}, {peer.result + kBytes, kBytes}};
    options.peer_slot_count = 2;
    options.acceptor_puts_max = options.connector_puts_max = exchange::puts_max(2);
    transport::Bootstrap answer;
    peer.link = peer.fabric->connect(options, std::move(offers_[rank]), &answer).value();
    return shard_->accept(kJob, rank, std::move(answer));
  }
  void join_all() {
    for (uint32_t rank = 0; rank < 2; ++rank) ASSERT_TRUE(join(rank).ok());
    shard_->start(kJob);
  }
  void push(uint32_t rank, uint32_t slot, uint32_t round,
            exchange::Verb verb = exchange::Verb::push_pull, uint32_t bytes = kBytes) {
    const transport::Put put = {.link = peers_[rank].link,
                                .slot = slot,
                                .tag = exchange::encode({verb, round, slot}),
                                .bytes = bytes,
                                .data = peers_[rank].gradient + slot * kBytes};
    ASSERT_EQ(peers_[rank].fabric->put({&put, 1}), 1u);
    for (int i = 0; i < 4; ++i) shard_->poll(base::Instant{i});
    std::array<transport::Event, 16> events;
    for (Peer& peer : peers_) {
      if (peer.fabric != nullptr) peer.fabric->poll({}, events);
    }
  }

  static constexpr JobId kJob{7};
  static constexpr uint32_t kBytes = kElements * sizeof(float);
  std::unique_ptr<Shard> shard_;
  std::vector<RankFault> faults_;
  std::vector<transport::Bootstrap> offers_;
  std::array<Peer, 2> peers_;
};

TEST_F(ShardTest, LeavingBeforeAPushedRoundIsOverIsAFaultAndReadsNothingThatIsGone) {
  join_all();
  push(0, 0, 1);
  shard_->remove_rank(kJob, 0);
  ASSERT_EQ(faults_.size(), 1u);
  EXPECT_EQ(faults_[0].rank, 0u);
  EXPECT_THAT(faults_[0].reason, HasSubstr("\"t0\""));
  peers_[0].fabric.reset();  // Its memory is gone.
  push(1, 0, 1);             // Would complete the round.
  EXPECT_EQ(shard_->counters().results.get(), 0u);
}

TEST_F(ShardTest, LeavingBetweenRoundsLetsTheOthersGoOn) {
  join_all();
  push(0, 0, 1);
  push(1, 0, 1);
  shard_->remove_rank(kJob, 0);
  push(1, 0, 2);
  EXPECT_TRUE(faults_.empty());
  EXPECT_EQ(shard_->counters().results.get(), 2u);
}

TEST_F(ShardTest, AnAnswerBehindALeaveIsRefused) {
  shard_->remove_rank(kJob, 1);
  offers_[1] = {};
  EXPECT_EQ(shard_->accept(kJob, 1, {}).code(), Code::aborted);
}

TEST_F(ShardTest, ABrokenAnswerCostsTheRankItsLinkAndTheShardNothing) {
  EXPECT_FALSE(shard_->accept(kJob, 1, {"no answer at all", {}}).ok());
  EXPECT_EQ(shard_->accept(kJob, 1, {}).code(), Code::aborted) << "its link is closed";
  shard_->remove(kJob);  // Closes what is open, and nothing twice.
  EXPECT_EQ(shard_->find(kJob), nullptr);
}

TEST_F(ShardTest, ABroadcastWithoutARootIsNobodysFault) {
  join_all();
  push(0, 0, 1, exchange::Verb::broadcast, 0);
  push(1, 0, 1, exchange::Verb::broadcast, 0);
  ASSERT_EQ(faults_.size(), 1u);
  EXPECT_EQ(faults_[0].rank, kNobody);
  EXPECT_THAT(faults_[0].reason, HasSubstr("0 ranks are the root"));
}

TEST_F(ShardTest, SettingsOfARoundThatWaitsOutliveManyLaterOnes) {
  join_all();
  // Tensor 0 waits for its first round; rank 0 goes on with tensor 1 and new settings every step.
  for (uint32_t step = 1; step <= 100; ++step) {
    StepSettings values;
    values.learning_rate = static_cast<float>(step);
    shard_->add_settings(kJob, {values, {step == 1 ? 1u : 2u, step}});
    push(0, 1, step);
    push(1, 1, step);
  }
  const ShardJob* const job = shard_->find(kJob);
  EXPECT_EQ(job->settings(0, 1).learning_rate, 1.0f);
  EXPECT_EQ(job->settings(0, 2).learning_rate, 100.0f);
  EXPECT_EQ(job->settings(1, 101).learning_rate, 100.0f);
}

}  // namespace
}  // namespace phub::hub
