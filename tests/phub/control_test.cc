// Goal: whoever is refused or goes leaves nothing behind, and the others are told who it was.
// Method: the control plane of a hub without shards, told what sessions say; jobs that only form.
#include "phub/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "exchange/session_auth.h"

namespace phub::hub {
namespace {

using testing::HasSubstr;

class FakePort : public SessionPort {
 public:
  void send(SessionId session, exchange::Message message) override {
    sent[session].push_back(std::move(message.body));
  }
  void close(SessionId session) override { closed.push_back(session); }
  void trust(SessionId) override {}

  // The last message to the session, which must be a Body.
  template <typename Body>
  Body last(SessionId session) {
    return std::get<Body>(sent[session].back());
  }

  std::map<SessionId, std::vector<exchange::Body>> sent;
  std::vector<SessionId> closed;
};

class ControlTest : public testing::Test {
 protected:
  ControlTest() : control_(options(), {}, &port_) { control_.poll(base::Instant{1}); }

  static ControlOptions options() {
    ControlOptions options;
    options.fabric_names = {"shm"};
    options.shape.shards.resize(1);
    return options;
  }
  static exchange::Hello hello(uint32_t rank) {
    exchange::Hello hello;
    hello.job.name = "job";
    hello.job.rank_count = 3;
    hello.rank = rank;
    hello.process = 10 + rank;
    hello.host = "node" + std::to_string(rank);
    hello.fabric = "shm";
    hello.nonce = std::string(64, '0');
    return hello;
  }
  SessionId open() {
    const SessionId id{next_++};
    control_.on_open(id);
    return id;
  }
  SessionId join(uint32_t rank, const std::string& secret = "secret") {
    const SessionId id = open();
    control_.on_message(id, {hello(rank), {}});
    const auto challenge = port_.last<exchange::Challenge>(id);
    exchange::Proof proof;
    proof.key = exchange::derive_key(secret, "job");
    proof.hmac = exchange::prove(proof.key, challenge.nonce, std::string(64, '0'), "job", rank);
    control_.on_message(id, {proof, {}});
    return id;
  }
  bool is_welcome(SessionId id) {
    return std::holds_alternative<exchange::Welcome>(port_.sent[id].back());
  }
  RankState state_of(uint32_t rank) { return control_.snapshot().jobs.at(0).ranks[rank].state; }

  FakePort port_;
  Control control_;
  uint64_t next_ = 1;
};

TEST_F(ControlTest, AWrongSecretIsRefusedAndTheSessionForgotten) {
  EXPECT_TRUE(is_welcome(join(0)));
  const SessionId stranger = join(1, "guess");
  EXPECT_THAT(port_.last<exchange::Failure>(stranger).message, HasSubstr("wrong secret"));
  EXPECT_THAT(port_.closed, testing::ElementsAre(stranger));
  const size_t said = port_.sent[stranger].size();
  control_.on_message(stranger, {hello(1), {}});
  EXPECT_EQ(port_.sent[stranger].size(), said) << "it is still there";
  EXPECT_EQ(control_.snapshot().sessions_refused, 1u);
}

TEST_F(ControlTest, ARankWhoseJobEndsBeforeItsProofIsAskedAgainAndStartsTheNext) {
  const SessionId last = join(0);
  const SessionId next = open();
  control_.on_message(next, {hello(1), {}});
  const auto old = port_.last<exchange::Challenge>(next);
  EXPECT_FALSE(old.is_new_job);
  control_.on_close(last, Status(Code::unavailable, "connection closed"));
  const std::string key = exchange::derive_key("secret", "job");
  const auto prove = [&key](const exchange::Challenge& challenge) {
    return exchange::prove(key, challenge.nonce, std::string(64, '0'), "job", 1);
  };
  exchange::Proof proof;
  proof.hmac = prove(old);
  control_.on_message(next, {proof, {}});
  const auto again = port_.last<exchange::Challenge>(next);
  EXPECT_TRUE(again.is_new_job);
  EXPECT_NE(again.nonce, old.nonce);
  proof.key = key;
  proof.hmac = prove(again);
  control_.on_message(next, {proof, {}});
  EXPECT_TRUE(is_welcome(next));
}

TEST_F(ControlTest, ARankThatSaysHelloAgainGivesItsPlaceBack) {
  const SessionId first = join(0);
  control_.on_message(first, {hello(0), {}});
  EXPECT_THAT(port_.last<exchange::Failure>(first).message, HasSubstr("hello came twice"));
  EXPECT_TRUE(control_.snapshot().jobs.empty()) << "it was the only rank";
  EXPECT_TRUE(is_welcome(join(0)));
}

TEST_F(ControlTest, ARankThatGoesWhileTheJobFormsIsNamedWithItsReason) {
  const SessionId waiter = join(0);
  const SessionId gone = join(1);
  control_.on_close(gone, Status(Code::unavailable, "connection closed"));
  EXPECT_EQ(state_of(1), RankState::absent);
  control_.on_message(waiter, {exchange::LateQuery{5}, {}});
  const std::string text = port_.last<exchange::LateReport>(waiter).text;
  EXPECT_THAT(text, HasSubstr("rank 1 (process 11 on node1) joined and left again: connection"));
  EXPECT_THAT(text, HasSubstr("rank 2 did not join"));
  EXPECT_TRUE(is_welcome(join(1)));
  control_.on_message(waiter, {exchange::LateQuery{6}, {}});
  EXPECT_THAT(port_.last<exchange::LateReport>(waiter).text, testing::Not(HasSubstr("rank 1 (")));
}

TEST_F(ControlTest, ARankThatIsRefusedForItsTensorsIsNamedToThoseWhoWait) {
  const SessionId waiter = join(0);
  const SessionId other = join(1);
  const auto propose = [&](SessionId id, uint64_t count) {
    const std::vector<TensorSpec> table = {{.name = "w", .count = count}};
    const auto map = exchange::ChunkMap::build(table, 8192, options().shape);
    control_.on_message(id, {exchange::Tensors{1, table, map->digest(), 0, {}}, {}});
  };
  propose(waiter, 100);
  propose(other, 200);
  EXPECT_THAT(port_.last<exchange::Failure>(other).message, HasSubstr("disagree"));
  control_.on_message(waiter, {exchange::LateQuery{5}, {}});
  EXPECT_THAT(port_.last<exchange::LateReport>(waiter).text, HasSubstr("disagree on the tensors"));
}

TEST_F(ControlTest, AMapThatAloneIsLargerThanTheJobMayBeIsNotBuilt) {
  HubLimits limits;
  limits.memory_limit_bytes = limits.job_memory_limit_bytes = 1 << 20;
  control_.set_limits(limits);
  const SessionId id = join(0);
  const std::vector<TensorSpec> table = {{.name = "w", .count = uint64_t{1} << 40}};
  control_.on_message(id, {exchange::Tensors{1, table, 0, 0, {}}, {}});
  EXPECT_THAT(port_.last<exchange::Failure>(id).message, HasSubstr("use larger chunks"));
}

TEST_F(ControlTest, AnAbortWhileTheJobFormsIsToldToThoseWhoWait) {
  const SessionId waiter = join(0);
  control_.on_message(join(1), {exchange::Abort{"hub tcp://b:1: connection closed"}, {}});
  control_.on_message(waiter, {exchange::LateQuery{5}, {}});
  EXPECT_THAT(port_.last<exchange::LateReport>(waiter).text, HasSubstr("hub tcp://b:1"));
}

}  // namespace
}  // namespace phub::hub
