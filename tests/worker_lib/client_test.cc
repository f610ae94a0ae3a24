// Goal: the session's state machine: joining, agreeing, failing, leaving, and each request.
// Method: a Client between a scripted session and a scripted fabric; the test speaks as the hub.
#include "worker_lib/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "exchange/session_auth.h"
#include "tests/worker_lib/rig.h"

namespace phub::client {
namespace {

using testing::HasSubstr;

TEST(ClientTest, SaysHelloWithoutTheSecretAndProvesItKnowsIt) {
  Rig rig({.rank = Rank{1}});
  const auto hello = rig.session->take<exchange::Hello>();
  ASSERT_NE(hello, nullptr);
  EXPECT_EQ(hello->job.name, "test");
  EXPECT_EQ(hello->job.secret, "");
  EXPECT_EQ(hello->rank, 1u);
  EXPECT_EQ(hello->process, 4711);
  EXPECT_EQ(hello->host, "node7");
  EXPECT_EQ(hello->fabric, "fake");
  rig.session->deliver(exchange::Challenge{"ab", false});
  rig.poll();
  const auto proof = rig.session->take<exchange::Proof>();
  ASSERT_NE(proof, nullptr);
  const std::string key = exchange::derive_key("secret", "test");
  EXPECT_EQ(proof->hmac, exchange::prove(key, "ab", hello->nonce, "test", 1));
  EXPECT_EQ(proof->key, "") << "the hub knows the job: the key must not travel";
  EXPECT_EQ(rig.client->state(), State::connecting);
}

TEST(ClientTest, HandsTheKeyOfANewJobOver) {
  Rig rig;
  rig.session->deliver(exchange::Challenge{"ab", true});
  rig.poll();
  const auto proof = rig.session->take<exchange::Proof>();
  ASSERT_NE(proof, nullptr);
  EXPECT_EQ(proof->key, exchange::derive_key("secret", "test"));
}

TEST(ClientTest, ARefusalEndsTheJoinWithTheHubsCodeAndWords) {
  Rig rig;
  rig.session->deliver(
      exchange::Failure{static_cast<uint8_t>(Code::permission_denied), "wrong secret"});
  rig.poll();
  EXPECT_EQ(rig.client->state(), State::failed);
  EXPECT_EQ(rig.client->failure().code(), Code::permission_denied);
  EXPECT_EQ(rig.client->failure().message(), "wrong secret");
}

TEST(ClientTest, LastWordsThatComeWhileTheSessionIsLookedAtAreHeard) {
  Rig rig;
  rig.join();
  rig.session->when_empty = [&] {
    rig.session->deliver(
        exchange::Failure{static_cast<uint8_t>(Code::unavailable), "the hub was stopped"});
    rig.session->end("connection closed");
  };
  rig.poll();
  rig.poll();
  EXPECT_EQ(rig.client->state(), State::failed);
  EXPECT_EQ(rig.client->failure().message(), "the hub was stopped");
}

TEST(ClientTest, AgreesOnTensorsAndNamesEverySlotOfEachShard) {
  Rig rig({.shards = 2});
  rig.join();
  ASSERT_EQ(rig.client->state(), State::idle);
  const std::vector<TensorSpec> specs = {tensor("a", 200), tensor("b", 64)};
  ASSERT_TRUE(rig.client->begin_tensors(specs, {}).ok());
  EXPECT_EQ(rig.client->state(), State::agreeing);
  rig.agree();
  ASSERT_EQ(rig.client->state(), State::running) << rig.client->failure().message();
  const auto answer = rig.session->take<exchange::Answer>();
  ASSERT_NE(answer, nullptr);
  EXPECT_EQ(answer->epoch, 1u);
  EXPECT_EQ(answer->links[1], "answer to offer 1");
  // 200 elements are 64 + 64 + 64 + 8; with b's 64 that is five chunks on two shards.
  ASSERT_EQ(rig.fabric->links.size(), 2u);
  size_t bytes = 0;
  size_t slots = 0;
  for (const transport::LinkOptions& link : rig.fabric->links) {
    EXPECT_EQ(link.peer_slot_count, link.slots.size());
    EXPECT_EQ(link.connector_puts_max, exchange::puts_max(link.peer_slot_count));
    EXPECT_EQ(link.acceptor_puts_max, exchange::puts_max(link.peer_slot_count));
    slots += link.slots.size();
    for (const transport::Slot& slot : link.slots) bytes += slot.bytes;
  }
  EXPECT_EQ(slots, 5u);
  EXPECT_EQ(bytes, 264 * sizeof(float));
}

TEST(ClientTest, AnOfferForAnotherMapIsAnErrorThatNamesBothDigests) {
  Rig rig;
  rig.join();
  ASSERT_TRUE(rig.client->begin_tensors(std::vector{tensor("a", 64)}, {}).ok());
  exchange::Offer offer = rig.offer_for(*rig.session->take<exchange::Tensors>());
  offer.digest ^= 1;
  rig.session->deliver(std::move(offer));
  rig.poll();
  ASSERT_EQ(rig.client->state(), State::failed);
  EXPECT_EQ(rig.client->failure().code(), Code::internal);
  EXPECT_THAT(rig.client->failure().message(), HasSubstr("digest"));
}

TEST(ClientTest, OffersOutOfOrderOrOfTheWrongShapeEndTheSession) {
  for (const int fault : {0, 1, 2, 3}) {
    Rig rig;
    rig.join();
    if (fault > 0) {
      ASSERT_TRUE(rig.client->begin_tensors(std::vector{tensor("a", 64)}, {}).ok());
    }
    exchange::Offer offer{1, 0, {"offer"}, {0}};
    if (fault > 0) offer = rig.offer_for(*rig.session->take<exchange::Tensors>());
    if (fault == 1) offer.epoch = 7;
    if (fault == 2) offer.links.push_back("one too many");
    if (fault == 3) offer.links[0] = "broken";
    rig.session->deliver(std::move(offer));
    rig.poll();
    // A link that cannot be made may be one of an epoch that has failed: the hub may say so yet.
    EXPECT_EQ(rig.client->state(), fault < 2 ? State::failed : State::agreeing) << fault;
    rig.time = rig.time + std::chrono::milliseconds(600);
    rig.poll();
    EXPECT_EQ(rig.client->state(), State::failed) << "fault " << fault;
  }
}

TEST(ClientTest, TheSameTableMayBeAskedForAgainWhileRanksAreMissing) {
  Rig rig;
  rig.join();
  const std::vector<TensorSpec> specs = {tensor("a", 64)};
  ASSERT_TRUE(rig.client->begin_tensors(specs, {}).ok());
  EXPECT_TRUE(rig.client->begin_tensors(specs, {}).ok());
  const std::vector<TensorSpec> others = {tensor("b", 64)};
  EXPECT_EQ(rig.client->begin_tensors(others, {}).code(), Code::failed_precondition);
  EXPECT_NE(rig.session->take<exchange::Tensors>(), nullptr);
  EXPECT_EQ(rig.session->take<exchange::Tensors>(), nullptr) << "the table was sent twice";
}

TEST(ClientTest, ANewEpochRestartsRoundsAndKeepsTheMemoryOfKnownTensors) {
  Rig rig;
  rig.run({tensor("a", 64), tensor("b", 64)});
  std::vector<float> data(64, 1.0f);
  ASSERT_TRUE(rig.client->push_pull(TensorId{1}, data.data(), data.data(), {}).ok());
  const Status busy = rig.client->begin_tensors(std::vector{tensor("b", 64)}, {});
  EXPECT_EQ(busy.code(), Code::failed_precondition);
  rig.client->pump();
  rig.echo_all();
  std::byte* const before = rig.client->result(TensorId{1}).data();
  ASSERT_TRUE(rig.client->begin_tensors(std::vector{tensor("b", 64), tensor("c", 32)}, {}).ok());
  rig.agree();
  ASSERT_EQ(rig.client->state(), State::running);
  EXPECT_EQ(rig.fabric->closed.size(), 1u);
  EXPECT_EQ(rig.client->result(TensorId{0}).data(), before);
  const auto operation = rig.client->push_pull(TensorId{0}, data.data(), data.data(), {});
  ASSERT_TRUE(operation.ok());
  EXPECT_EQ(operation->round, 1u);
}

TEST(ClientTest, AFailureEndsPendingAndLaterOperationsWithTheirNames) {
  Rig rig;
  rig.run({tensor("fc1.weight", 64)});
  std::vector<float> data(64);
  Status told;
  ASSERT_TRUE(rig.client
                  ->push_pull(TensorId{0}, data.data(), data.data(),
                              [&](const Status& status) { told = status; })
                  .ok());
  rig.session->deliver(exchange::Failure{static_cast<uint8_t>(Code::aborted), "rank 1 is lost"});
  rig.poll();
  ASSERT_EQ(rig.client->state(), State::failed);
  std::vector<Finished> finished;
  rig.client->take_finished(&finished);
  ASSERT_EQ(finished.size(), 1u);
  finished[0].callback(finished[0].status);
  EXPECT_EQ(told.code(), Code::aborted);
  EXPECT_EQ(told.message(), "push_pull tensor 0 \"fc1.weight\" round 1: rank 1 is lost");
  const auto later = rig.client->push_pull(TensorId{0}, data.data(), data.data(), {});
  EXPECT_EQ(later.status().code(), Code::aborted);
  EXPECT_EQ(later.status().message(), "push_pull tensor 0 \"fc1.weight\" round 2: rank 1 is lost");
}

TEST(ClientTest, AnEndedChannelNamesTheHub) {
  Rig rig;
  rig.run({tensor("a", 64)});
  rig.session->end("connection closed");
  rig.poll();
  ASSERT_EQ(rig.client->state(), State::failed);
  EXPECT_EQ(rig.client->failure().code(), Code::unavailable);
  EXPECT_EQ(rig.client->failure().message(), "hub shm:///tmp/test.sock: connection closed");
}

TEST(ClientTest, ALostLinkWaitsForTheSessionsBetterReasonThenFails) {
  const transport::Event lost{.kind = transport::EventKind::lost, .link = transport::LinkId{0}};
  Rig told;
  told.run({tensor("a", 64)});
  told.fabric->add(lost);
  told.poll();
  EXPECT_EQ(told.client->state(), State::running);
  told.session->deliver(exchange::Failure{static_cast<uint8_t>(Code::aborted), "rank 1 is lost"});
  told.poll();
  EXPECT_EQ(told.client->failure().message(), "rank 1 is lost");

  Rig untold;
  untold.run({tensor("a", 64)});
  untold.fabric->add(lost);
  untold.poll();
  EXPECT_LE(untold.client->next_deadline(), untold.time + std::chrono::seconds(1));
  untold.time = untold.client->next_deadline();
  untold.poll();
  ASSERT_EQ(untold.client->state(), State::failed);
  EXPECT_EQ(untold.client->failure().message(),
            "link to shard 0 is lost: the cable is cut; connect again");
}

TEST(ClientTest, BarriersAreOneAtATimeAndOneGivenUpIsGoneOnWith) {
  Rig rig;
  rig.join();
  const uint64_t first = *rig.client->begin_barrier();
  EXPECT_EQ(*rig.client->begin_barrier(), first);
  const auto sent = rig.session->take<exchange::Barrier>();
  ASSERT_NE(sent, nullptr);
  EXPECT_EQ(rig.session->take<exchange::Barrier>(), nullptr);
  EXPECT_FALSE(rig.client->is_barrier_done(first));
  rig.session->deliver(exchange::BarrierDone{sent->id});
  rig.poll();
  EXPECT_TRUE(rig.client->is_barrier_done(first));
  EXPECT_NE(*rig.client->begin_barrier(), first);
}

TEST(ClientTest, SettingsNameTheNextRoundOfEveryTensorAndComeFromRankZeroOnly) {
  Rig rig;
  rig.run({tensor("a", 64), tensor("b", 64)});
  std::vector<float> data(64);
  ASSERT_TRUE(rig.client->push_pull(TensorId{1}, data.data(), data.data(), {}).ok());
  const uint64_t id = *rig.client->ask_settings({.learning_rate = 0.5f});
  const auto settings = rig.session->take<exchange::Settings>();
  ASSERT_NE(settings, nullptr);
  EXPECT_EQ(settings->first_rounds, (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(settings->values.learning_rate, 0.5f);
  EXPECT_FALSE(rig.client->take_reply(id).has_value());
  rig.session->deliver(exchange::SettingsDone{settings->id});
  rig.poll();
  EXPECT_TRUE(rig.client->take_reply(id).has_value());
  EXPECT_FALSE(rig.client->take_reply(id).has_value());

  Rig other({.rank = Rank{1}});
  other.run({tensor("a", 64)});
  EXPECT_EQ(other.client->ask_settings({}).status().code(), Code::permission_denied);
}

TEST(ClientTest, AReplyThatNobodyWaitsForAnyMoreIsDropped) {
  Rig rig;
  rig.run({tensor("a", 64)});
  const uint64_t id = *rig.client->ask_late();
  rig.client->forget(id);
  rig.session->deliver(exchange::LateReport{id, "rank 1 is late"});
  rig.poll();
  EXPECT_FALSE(rig.client->has_reply(id));
}

TEST(ClientTest, LeavesOnlyWhenIdleAndRefusesEverythingAfterwards) {
  Rig rig;
  rig.run({tensor("a", 64)});
  std::vector<float> data(64);
  ASSERT_TRUE(rig.client->push_pull(TensorId{0}, data.data(), data.data(), {}).ok());
  EXPECT_EQ(rig.client->begin_leave().code(), Code::failed_precondition);
  rig.client->pump();
  rig.echo_all();
  ASSERT_TRUE(rig.client->begin_leave().ok());
  EXPECT_NE(rig.session->take<exchange::Leave>(), nullptr);
  EXPECT_EQ(rig.client->state(), State::leaving);
  rig.session->deliver(exchange::Left{});
  rig.poll();
  EXPECT_EQ(rig.client->state(), State::left);
  const auto later = rig.client->push_pull(TensorId{0}, data.data(), data.data(), {});
  EXPECT_EQ(later.status().code(), Code::failed_precondition);
  EXPECT_THAT(later.status().message(), HasSubstr("has left the job"));
}

TEST(ClientTest, AWorkersMessageFromTheHubEndsTheSession) {
  Rig rig;
  rig.session->deliver(exchange::Leave{});
  rig.poll();
  ASSERT_EQ(rig.client->state(), State::failed);
  EXPECT_THAT(rig.client->failure().message(), HasSubstr("only workers send"));
}

TEST(ClientTest, OperationsBeforeTensorsAreRegisteredSayWhatToDo) {
  Rig rig;
  rig.join();
  float value = 0;
  const auto operation = rig.client->push_pull(TensorId{0}, &value, &value, {});
  EXPECT_EQ(operation.status().code(), Code::failed_precondition);
  EXPECT_THAT(operation.status().message(), HasSubstr("call register_tensors first"));
}

}  // namespace
}  // namespace phub::client
