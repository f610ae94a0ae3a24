// Goal: many threads around one client: nobody misses its end, callbacks run once and unlocked,
// deadlines hold.
// Method: a driver over the scripted session and fabric; either every put is answered at once, or a
// second thread plays the hub.
#include "worker_lib/driver.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/worker_lib/rig.h"

namespace phub::client {
namespace {

base::Instant soon() { return base::now() + std::chrono::seconds(20); }

class DriverTest : public testing::TestWithParam<bool> {
 protected:
  // A driver of a running client; GetParam(): with a thread of its own.
  void run(const std::vector<TensorSpec>& specs, bool is_echo) {
    rig_.run(specs);
    rig_.fabric->is_echo = is_echo;
    driver_ = std::move(Driver::create(std::move(rig_.core), GetParam())).value();
  }
  Operation push_pull(uint32_t tensor, float* data, Callback done = {}) {
    return driver_
        ->with(
            [&](Client& c) { return c.push_pull(TensorId{tensor}, data, data, std::move(done)); })
        .value();
  }
  bool wait(const Operation& operation, base::Instant deadline = soon()) {
    return driver_->wait({{{&operation, 1}, false, false},
                          [&](const Client& c) { return c.rounds()->is_done(operation); }},
                         deadline);
  }

  Rig rig_;
  std::unique_ptr<Driver> driver_;
};

TEST_P(DriverTest, ThreadsSubmitAndWaitAtTheSameTime) {
  constexpr uint32_t kThreads = 4;
  constexpr int kRounds = 50;
  std::vector<TensorSpec> specs;
  for (uint32_t t = 0; t < kThreads; ++t) specs.push_back(tensor("t" + std::to_string(t), 100));
  run(specs, true);
  std::atomic<int> done = 0;
  {
    std::vector<std::jthread> threads;
    for (uint32_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::vector<float> data(100);
        for (int round = 1; round <= kRounds; ++round) {
          std::fill(data.begin(), data.end(), static_cast<float>(round));
          const Operation operation = push_pull(t, data.data());
          if (wait(operation) && data[99] == static_cast<float>(round)) ++done;
        }
      });
    }
  }
  EXPECT_EQ(done, static_cast<int>(kThreads) * kRounds);
}

TEST_P(DriverTest, ASleepingWaiterIsWokenByTheFabricAndByTheSession) {
  run({tensor("a", 64), tensor("b", 64)}, false);
  std::vector<float> data(64);
  std::vector<float> other(64);
  const Operation a = push_pull(0, data.data());
  const Operation b = push_pull(1, other.data());
  std::atomic<int> woken = 0;
  std::jthread waits_for_a([&] { woken += wait(a) ? 1 : 0; });
  std::jthread waits_for_b([&] { woken += wait(b) ? 1 : 0; });
  // Puts have been started by the submitter or by the driver's thread; see them under the lock.
  transport::Put first;
  while (!driver_->with([&](Client&) {
    if (rig_.fabric->puts.size() < 2) return false;
    first = rig_.fabric->puts[0];
    return true;
  })) {
    std::this_thread::yield();
  }
  rig_.fabric->sent(first);
  rig_.fabric->reply(first, data.data());
  waits_for_a.join();
  EXPECT_EQ(woken, 1);
  rig_.session->deliver(exchange::Failure{static_cast<uint8_t>(Code::aborted), "rank 1 is lost"});
  waits_for_b.join();
  EXPECT_EQ(woken, 2);
  const Status status = driver_->with([&](Client& c) { return c.rounds()->status_of(b); });
  EXPECT_EQ(status.message(), "push_pull tensor 1 \"b\" round 1: rank 1 is lost");
}

TEST_P(DriverTest, AWaitEndsAtItsDeadlineAndTheOperationGoesOn) {
  run({tensor("a", 64)}, false);
  std::vector<float> data(64);
  const Operation operation = push_pull(0, data.data());
  EXPECT_FALSE(wait(operation, base::now() + std::chrono::milliseconds(30)));
  driver_->with([&](Client&) {
    for (const transport::Put& put : rig_.fabric->puts) rig_.fabric->echo(put);
    return true;
  });
  EXPECT_TRUE(wait(operation));
}

TEST_P(DriverTest, CallbacksRunOnceAndMayStartTheNextRound) {
  run({tensor("a", 64)}, true);
  std::vector<float> data(64, 1.0f);
  std::atomic<int> rounds = 0;
  std::function<void(const Status&)> next = [&](const Status& status) {
    if (status.ok() && ++rounds < 5) push_pull(0, data.data(), next);
  };
  push_pull(0, data.data(), next);
  EXPECT_TRUE(driver_->wait({{}, [&](const Client&) { return rounds == 5; }}, soon()));
  EXPECT_EQ(rounds, 5);
}

TEST_P(DriverTest, DestructionTellsThoseWhoStillWaitForACallback) {
  run({tensor("a", 64)}, false);
  std::vector<float> data(64);
  Status told;
  push_pull(0, data.data(), [&](const Status& status) { told = status; });
  driver_.reset();
  EXPECT_EQ(told.code(), Code::aborted);
}

TEST_P(DriverTest, AnIdleDriverSleeps) {
  run({tensor("a", 64)}, false);
  const auto arms = [&] { return driver_->with([&](Client&) { return rig_.fabric->arm_count; }); };
  std::vector<float> data(64);
  const Operation operation = push_pull(0, data.data());
  const int before = arms();
  EXPECT_FALSE(wait(operation, base::now() + std::chrono::milliseconds(100)));
  EXPECT_LT(arms() - before, 20) << "a sleeper that wakes for nothing burns the hub's core";
}

TEST_P(DriverTest, AFailedClientIsLeftAsleep) {
  run({tensor("a", 64)}, false);
  rig_.fabric->add({.kind = transport::EventKind::lost, .link = transport::LinkId{0}});
  const auto has_grace = [](const Client& c) { return c.next_deadline().ns != INT64_MAX; };
  EXPECT_TRUE(driver_->wait({{}, has_grace}, soon()));
  rig_.session->deliver(exchange::Failure{static_cast<uint8_t>(Code::aborted), "rank 1 is lost"});
  const auto is_failed = [](const Client& c) { return c.state() == State::failed; };
  EXPECT_TRUE(driver_->wait({{}, is_failed}, soon()));
  // The deadline of the grace is in the past for good: who still looked at it would never sleep.
  const auto looks = [&] {
    return driver_->with([&](Client&) { return rig_.fabric->deadline_count; });
  };
  const int before = looks();
  const auto never = [](const Client&) { return false; };
  EXPECT_FALSE(driver_->wait({{}, never}, base::now() + std::chrono::milliseconds(50)));
  EXPECT_EQ(looks(), before);
}

INSTANTIATE_TEST_SUITE_P(Progress, DriverTest, testing::Bool(),
                         [](const auto& test) { return test.param ? "ByThread" : "ByCaller"; });

}  // namespace
}  // namespace phub::client
