// Goal: the data path of an epoch: what is put where, with which tag, from whose memory; when an
// operation has ended; what is copied.
// Method: a running Client over a scripted fabric that records puts and delivers chosen events.
#include "worker_lib/rounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker_lib/rig.h"

namespace phub::client {
namespace {

using exchange::Verb;
using testing::HasSubstr;

constexpr transport::Traits kByReference{.by_reference = true, .windows = true};
constexpr transport::Traits kByCopy{};

float* floats(std::span<std::byte> bytes) { return reinterpret_cast<float*>(bytes.data()); }

float* allocate(Rig& rig, size_t count) {
  return floats(rig.client->allocate(count * sizeof(float)).value());
}

Operation push_pull(Rig& rig, uint32_t tensor, const void* gradient, void* result) {
  const auto operation = rig.client->push_pull(TensorId{tensor}, gradient, result, {});
  EXPECT_TRUE(operation.ok()) << operation.status().message();
  rig.client->pump();
  return operation.ok() ? *operation : Operation{};
}

bool is_done(Rig& rig, const Operation& operation) {
  return rig.client->rounds()->is_done(operation);
}

TEST(RoundsTest, RegisteredMemoryIsPutInPlaceAndNothingIsCopied) {
  for (const transport::Traits traits : {kByReference, kByCopy}) {
    Rig rig({.traits = traits});
    rig.join();
    float* const gradient = allocate(rig, 100);
    ASSERT_TRUE(rig.client->begin_tensors(std::vector{tensor("a", 100)}, {}).ok());
    rig.agree();
    const Operation operation = push_pull(rig, 0, gradient, rig.client->result(TensorId{0}).data());
    EXPECT_EQ(operation.round, 1u);
    ASSERT_EQ(rig.fabric->puts.size(), 2u);  // 64 + 36 elements.
    for (uint32_t slot = 0; slot < 2; ++slot) {
      const transport::Put& put = rig.fabric->puts[slot];
      EXPECT_EQ(put.slot, slot);
      EXPECT_EQ(put.tag, exchange::encode({Verb::push_pull, 1, slot}));
      EXPECT_EQ(put.bytes, slot == 0 ? 256u : 144u);
      EXPECT_EQ(static_cast<const void*>(put.data), gradient + 64 * slot);
    }
    EXPECT_FALSE(is_done(rig, operation));
    rig.echo_all();
    EXPECT_TRUE(is_done(rig, operation));
    EXPECT_TRUE(rig.client->rounds()->status_of(operation).ok());
    EXPECT_EQ(rig.client->stats().copied_bytes, 0u);
    EXPECT_EQ(rig.client->stats().pushed_bytes, 400u);
    EXPECT_EQ(rig.client->stats().pulled_bytes, 400u);
    EXPECT_EQ(rig.client->stats().rounds, 1u);
    EXPECT_EQ(rig.fabric->unreleased, 0);
  }
}

TEST(RoundsTest, OtherMemoryCostsOneCopyEachWayAndTheResultIsRight) {
  for (const transport::Traits traits : {kByReference, kByCopy}) {
    Rig rig({.traits = traits});
    rig.run({tensor("a", 100)});
    std::vector<float> gradient(100);
    for (size_t i = 0; i < gradient.size(); ++i) gradient[i] = static_cast<float>(i);
    std::vector<float> result(100, -1.0f);
    push_pull(rig, 0, gradient.data(), result.data());
    rig.echo_all();
    EXPECT_EQ(result, gradient);
    EXPECT_EQ(rig.client->stats().copied_bytes, 800u);
  }
}

TEST(RoundsTest, ResultsMayOverwriteTheGradientWhereverItLies) {
  for (const transport::Traits traits : {kByReference, kByCopy}) {
    Rig rig({.traits = traits});
    rig.join();
    float* const registered = allocate(rig, 100);
    ASSERT_TRUE(rig.client->begin_tensors(std::vector{tensor("a", 100)}, {}).ok());
    rig.agree();
    std::vector<float> foreign(100);
    for (float* const data :
         {registered, foreign.data(), floats(rig.client->result(TensorId{0}))}) {
      for (int i = 0; i < 100; ++i) data[i] = static_cast<float>(i);
      const Operation operation = push_pull(rig, 0, data, data);
      const std::vector<float> twice = [&] {
        std::vector<float> sums(100);
        for (size_t i = 0; i < 100; ++i) sums[i] = 2.0f * static_cast<float>(i);
        return sums;
      }();
      // The reply first: nothing may be written to a gradient that is still borrowed.
      for (const transport::Put& put : rig.fabric->puts) {
        rig.fabric->reply(put, twice.data() + 64 * put.slot);
      }
      rig.poll();
      EXPECT_FALSE(is_done(rig, operation));
      if (data == registered && traits.by_reference) {
        EXPECT_EQ(data[1], 1.0f);
      }
      for (const transport::Put& put : rig.fabric->puts) rig.fabric->sent(put);
      rig.fabric->puts.clear();
      rig.poll();
      EXPECT_TRUE(is_done(rig, operation));
      EXPECT_EQ(std::vector<float>(data, data + 100), twice);
    }
  }
}

TEST(RoundsTest, AnOperationEndsOnlyWhenAllIsRepliedAndSent) {
  Rig rig;
  rig.run({tensor("a", 64)});
  std::vector<float> data(64);
  const Operation operation = push_pull(rig, 0, data.data(), data.data());
  rig.fabric->sent(rig.fabric->puts[0]);
  rig.poll();
  EXPECT_FALSE(is_done(rig, operation));
  rig.fabric->reply(rig.fabric->puts[0], data.data());
  rig.poll();
  EXPECT_TRUE(is_done(rig, operation));
}

TEST(RoundsTest, RepliesSeenBeforeOrOfAnotherRoundAreDroppedAndCounted) {
  Rig rig;
  rig.run({tensor("a", 64)});
  std::vector<float> data(64, 1.0f);
  const Operation first = push_pull(rig, 0, data.data(), data.data());
  const transport::Put old = rig.fabric->puts[0];
  rig.echo_all();
  ASSERT_TRUE(is_done(rig, first));
  rig.fabric->reply(old, rig.client->result(TensorId{0}).data());  // After its round.
  rig.poll();
  EXPECT_EQ(rig.client->rounds()->counters().duplicates, 1u);
  const Operation second = push_pull(rig, 0, data.data(), data.data());
  rig.fabric->reply(old, rig.client->result(TensorId{0}).data());  // Into the next.
  transport::Put other = rig.fabric->puts[0];
  other.tag = exchange::encode({Verb::broadcast, 2, 0});
  rig.fabric->reply(other, rig.client->result(TensorId{0}).data());
  rig.poll();
  EXPECT_EQ(rig.client->rounds()->counters().duplicates, 3u);
  EXPECT_FALSE(is_done(rig, second));
  rig.echo_all();
  EXPECT_TRUE(is_done(rig, second));
  EXPECT_EQ(rig.fabric->unreleased, 0);
}

TEST(RoundsTest, RepliesThatMakeNoSenseAreDroppedAndCounted) {
  Rig rig;
  rig.run({tensor("a", 64)});
  std::vector<float> data(64, 1.0f);
  const Operation operation = push_pull(rig, 0, data.data(), data.data());
  const uint32_t tag = rig.fabric->puts[0].tag;
  using transport::EventKind;
  rig.fabric->add({EventKind::arrived, transport::LinkId{9}, tag, 256, nullptr, 0});
  rig.fabric->add({EventKind::arrived, transport::LinkId{0}, tag + 1, 256, nullptr, 0});
  rig.fabric->add({EventKind::arrived, transport::LinkId{0}, tag, 255, nullptr, 0});
  rig.fabric->add({EventKind::sent, transport::LinkId{0}, 0, 0, nullptr, 12345});
  rig.poll();
  EXPECT_EQ(rig.client->rounds()->counters().malformed, 3u);
  EXPECT_FALSE(is_done(rig, operation));
}

TEST(RoundsTest, LargerPrioritiesGoFirstAndEqualOnesInOrder) {
  Rig rig({.traits = kByCopy});
  rig.run({tensor("back", 128, 1), tensor("front", 128, 5), tensor("middle", 128, 1)});
  rig.fabric->room = 1;
  std::vector<float> data(128);
  for (const uint32_t t : {0u, 2u, 1u}) push_pull(rig, t, data.data(), data.data());
  ASSERT_EQ(rig.fabric->puts.size(), 1u);  // The first of "back", before the fabric was full.
  rig.fabric->room = SIZE_MAX;
  rig.poll();
  std::vector<uint32_t> slots;
  for (const transport::Put& put : rig.fabric->puts) slots.push_back(put.slot);
  EXPECT_EQ(slots, (std::vector<uint32_t>{0, 2, 3, 1, 4, 5}));
  EXPECT_EQ(rig.client->stats().copied_bytes, 3 * 128 * sizeof(float)) << "staged once each";
}

TEST(RoundsTest, AtMostAWindowOfPutsIsUnsentUnlessTheFabricGoesByReference) {
  Rig windowed({.traits = kByCopy});
  windowed.run({tensor("a", 64 * 100)});
  std::vector<float> data(64 * 100);
  push_pull(windowed, 0, data.data(), data.data());
  EXPECT_EQ(windowed.fabric->puts.size(), 64u);
  for (int i = 0; i < 3; ++i) windowed.fabric->sent(windowed.fabric->puts[static_cast<size_t>(i)]);
  windowed.poll();
  EXPECT_EQ(windowed.fabric->puts.size(), 67u);
  windowed.client->arm({{}, true, false});
  EXPECT_EQ(windowed.fabric->wants[0], 1u) << "each `sent` makes room for a put that waits";

  Rig unlimited({.traits = kByReference});
  unlimited.run({tensor("a", 64 * 100)});
  push_pull(unlimited, 0, data.data(), data.data());
  EXPECT_EQ(unlimited.fabric->puts.size(), 100u);
}

TEST(RoundsTest, ATensorHasOneOperationAtATimeAndUnknownOnesHaveNone) {
  Rig rig;
  rig.run({tensor("a", 64)});
  std::vector<float> data(64);
  push_pull(rig, 0, data.data(), data.data());
  const auto second = rig.client->push_pull(TensorId{0}, data.data(), data.data(), {});
  EXPECT_EQ(second.status().code(), Code::failed_precondition);
  EXPECT_THAT(second.status().message(), HasSubstr("has not ended"));
  const auto unknown = rig.client->push_pull(TensorId{1}, data.data(), data.data(), {});
  EXPECT_EQ(unknown.status().code(), Code::not_found);
}

TEST(RoundsTest, NullAndPartlyOverlappingMemoryIsRefused) {
  Rig rig;
  rig.run({tensor("a", 64)});
  std::vector<float> data(128);
  const auto code = [&](const void* gradient, void* result) {
    return rig.client->push_pull(TensorId{0}, gradient, result, {}).status().code();
  };
  EXPECT_EQ(code(nullptr, data.data()), Code::invalid_argument);
  EXPECT_EQ(code(data.data(), nullptr), Code::invalid_argument);
  EXPECT_EQ(code(data.data(), data.data() + 1), Code::invalid_argument);
  EXPECT_EQ(code(floats(rig.client->result(TensorId{0})) + 1, data.data()), Code::invalid_argument);
  EXPECT_EQ(code(data.data(), data.data() + 64), Code::ok);
}

TEST(RoundsTest, AFinishedPushIsPulledFromMemoryWithoutTraffic) {
  Rig rig;
  rig.run({tensor("a", 100)});
  std::vector<float> gradient(100, 3.0f);
  const Operation push = *rig.client->push(TensorId{0}, gradient.data(), {});
  rig.client->pump();
  rig.echo_all();
  ASSERT_TRUE(is_done(rig, push));
  std::vector<float> result(100);
  int calls = 0;
  const Operation pull =
      *rig.client->pull(TensorId{0}, result.data(), [&](const Status&) { ++calls; });
  EXPECT_TRUE(is_done(rig, pull));
  EXPECT_EQ(pull.round, push.round);
  EXPECT_EQ(result, gradient);
  EXPECT_TRUE(rig.fabric->puts.empty());
  std::vector<Finished> finished;
  rig.client->take_finished(&finished);
  ASSERT_EQ(finished.size(), 1u);
  finished[0].callback(finished[0].status);
  EXPECT_EQ(calls, 1);
}

TEST(RoundsTest, APullMayJoinAPushThatIsHalfDone) {
  Rig rig;
  rig.run({tensor("a", 128)});
  std::vector<float> gradient(128, 3.0f);
  ASSERT_TRUE(rig.client->push(TensorId{0}, gradient.data(), {}).ok());
  rig.client->pump();
  rig.fabric->echo(rig.fabric->puts[0]);
  rig.poll();
  std::vector<float> result(128);
  const Operation pull = *rig.client->pull(TensorId{0}, result.data(), {});
  EXPECT_FALSE(is_done(rig, pull));
  rig.fabric->echo(rig.fabric->puts[1]);
  rig.poll();
  EXPECT_TRUE(is_done(rig, pull));
  EXPECT_EQ(result, gradient);
}

TEST(RoundsTest, APullWithoutAPushAsksTheHubForItsWeights) {
  Rig rig;
  TensorSpec weights = tensor("w", 64);
  weights.optimizer.kind = OptimizerKind::sgd;
  rig.run({weights, tensor("plain", 64)});
  std::vector<float> result(64);
  const Operation pull = *rig.client->pull(TensorId{0}, result.data(), {});
  rig.client->pump();
  ASSERT_EQ(rig.fabric->puts.size(), 1u);
  EXPECT_EQ(rig.fabric->puts[0].bytes, 0u);
  EXPECT_EQ(rig.fabric->puts[0].tag, exchange::encode({Verb::pull, 0, 0}));
  const std::vector<float> held(64, 7.0f);
  rig.fabric->sent(rig.fabric->puts[0]);
  rig.fabric->reply(rig.fabric->puts[0], held.data());
  rig.poll();
  EXPECT_TRUE(is_done(rig, pull));
  EXPECT_EQ(result, held);
  // Pulls are no rounds: the next push_pull is this tensor's first.
  EXPECT_EQ(push_pull(rig, 0, result.data(), result.data()).round, 1u);

  const auto refused = rig.client->pull(TensorId{1}, result.data(), {});
  EXPECT_EQ(refused.status().code(), Code::failed_precondition);
  EXPECT_THAT(refused.status().message(), HasSubstr("nothing was pushed"));
}

TEST(RoundsTest, OnlyTheRootOfABroadcastSendsBytes) {
  for (const uint32_t root : {0u, 1u}) {
    Rig rig;  // Rank 0.
    rig.run({tensor("a", 64)});
    std::vector<float> data(64, 5.0f);
    const auto operation =
        rig.client->broadcast(TensorId{0}, data.data(), Rank{static_cast<uint16_t>(root)}, {});
    ASSERT_TRUE(operation.ok());
    rig.client->pump();
    ASSERT_EQ(rig.fabric->puts.size(), 1u);
    EXPECT_EQ(rig.fabric->puts[0].bytes, root == 0 ? 256u : 0u);
    EXPECT_EQ(rig.fabric->puts[0].tag, exchange::encode({Verb::broadcast, 1, 0}));
    const std::vector<float> from_root(64, 9.0f);
    rig.fabric->sent(rig.fabric->puts[0]);
    rig.fabric->reply(rig.fabric->puts[0], from_root.data());
    rig.poll();
    EXPECT_TRUE(is_done(rig, *operation));
    EXPECT_EQ(data[0], root == 0 ? 5.0f : 9.0f);
  }
  Rig rig;
  rig.run({tensor("a", 64)});
  float data[64];
  EXPECT_EQ(rig.client->broadcast(TensorId{0}, data, Rank{2}, {}).status().code(),
            Code::invalid_argument);
}

TEST(RoundsTest, OldRoundsAreDoneAndUnstartedOnesUnknown) {
  Rig rig;
  rig.run({tensor("a", 64)});
  std::vector<float> data(64);
  const Operation first = push_pull(rig, 0, data.data(), data.data());
  rig.echo_all();
  const Operation second = push_pull(rig, 0, data.data(), data.data());
  EXPECT_EQ(second.round, 2u);
  EXPECT_TRUE(is_done(rig, first));
  EXPECT_FALSE(is_done(rig, second));
  EXPECT_TRUE(rig.client->rounds()->check(second).ok());
  EXPECT_EQ(rig.client->rounds()->check({TensorId{0}, 3}).code(), Code::invalid_argument);
  EXPECT_EQ(rig.client->rounds()->check({TensorId{1}, 1}).code(), Code::invalid_argument);
}

TEST(RoundsTest, ASleeperIsToWakeOnlyWhenWhatItWaitsForCanBeThere) {
  Rig rig({.shards = 2});
  rig.join();
  float* const gradient = allocate(rig, 640);
  const std::vector<TensorSpec> specs = {tensor("large", 640), tensor("small", 64)};
  ASSERT_TRUE(rig.client->begin_tensors(specs, {}).ok());
  rig.agree();
  const Operation large = push_pull(rig, 0, gradient, rig.client->result(TensorId{0}).data());
  const Operation small = push_pull(rig, 1, gradient, rig.client->result(TensorId{1}).data());
  const uint32_t slots[] = {static_cast<uint32_t>(rig.fabric->links[0].slots.size()),
                            static_cast<uint32_t>(rig.fabric->links[1].slots.size())};
  rig.client->arm({{&large, 1}, false, false});
  EXPECT_EQ(rig.fabric->wants[0] + rig.fabric->wants[1], 10u);
  rig.client->arm({{}, true, false});
  EXPECT_EQ(rig.fabric->wants[0], slots[0]);
  EXPECT_EQ(rig.fabric->wants[1], slots[1]);
  rig.client->arm({{&small, 1}, false, false});
  const uint32_t owner = rig.fabric->wants[0] == 1 ? 0 : 1;
  EXPECT_EQ(rig.fabric->wants[owner], 1u);
  EXPECT_EQ(rig.fabric->wants[1 - owner], slots[1 - owner] + 1) << "nothing of interest comes";
}

TEST(RoundsTest, ResultsInTheTrainersChosenPlaceMustBeRegisteredAlignedAndApart) {
  Rig rig;
  rig.join();
  float* const memory = allocate(rig, 256);
  std::vector<float> foreign(64);
  const std::vector<TensorSpec> specs = {tensor("a", 64), tensor("b", 64)};
  const auto refusal = [&](void* a, void* b) {
    void* const results[] = {a, b};
    return rig.client->begin_tensors(specs, results).message();
  };
  EXPECT_THAT(refusal(foreign.data(), nullptr), HasSubstr("not in memory from allocate()"));
  EXPECT_THAT(refusal(memory + 224, nullptr), HasSubstr("not in memory from allocate()"));
  EXPECT_THAT(refusal(reinterpret_cast<char*>(memory) + 1, nullptr), HasSubstr("not aligned"));
  EXPECT_THAT(refusal(memory, memory + 63), HasSubstr("overlap"));
  EXPECT_EQ(refusal(memory + 64, nullptr), "");
  rig.agree();
  EXPECT_EQ(floats(rig.client->result(TensorId{0})), memory + 64);
  EXPECT_EQ(rig.client->result(TensorId{1}).size(), 256u);
}

}  // namespace
}  // namespace phub::client
