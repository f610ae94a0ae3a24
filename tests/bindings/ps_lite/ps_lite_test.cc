// Goal: a program written for ps-lite runs as it did; and when a process of it dies, everybody who
// waits ends with an error that names it, in time, instead of hanging.
// Method: real processes in all roles, sums that are known exactly, kill -9 of each role; every
// wait has a deadline.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "base/clock.h"
#include "tests/process/child.h"
#include "transport/tcp_socket.h"

namespace phub::process {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

class PsLiteTest : public testing::Test {
 protected:
  // A port that was free a moment ago.
  void SetUp() override {
    base::HostPort bound;
    ASSERT_TRUE(transport::listen_tcp({"127.0.0.1", 0}, &bound).ok());
    ::setenv("DMLC_PS_ROOT_URI", "127.0.0.1", 1);
    ::setenv("DMLC_PS_ROOT_PORT", std::to_string(bound.port).c_str(), 1);
    ::unsetenv("PS_START_TIMEOUT");
  }

  void start(const std::string& mode, int server_count, int worker_count) {
    ::setenv("DMLC_NUM_SERVER", std::to_string(server_count).c_str(), 1);
    ::setenv("DMLC_NUM_WORKER", std::to_string(worker_count).c_str(), 1);
    const int processes = mode == "threads" ? worker_count / 2 : worker_count;
    for (int i = 0; i < processes; ++i) {
      // Ranks are as they are asked for, so that it is known whom to kill.
      if (mode != "threads") ::setenv("DMLC_WORKER_ID", std::to_string(i).c_str(), 1);
      workers_.push_back(launch("worker", mode));
      ::unsetenv("DMLC_WORKER_ID");
    }
    for (int i = 0; i < server_count; ++i) servers_.push_back(launch("server", mode));
    scheduler_ = launch("scheduler", mode);  // Last: nobody may mind.
  }
  static std::unique_ptr<Child> launch(const std::string& role, const std::string& mode) {
    ::setenv("DMLC_ROLE", role.c_str(), 1);
    return std::make_unique<Child>(std::vector<std::string>{PHUB_TEST_PS, mode});
  }

  void expect_training(int line_count_each) {
    for (const auto& worker : workers_) {
      for (int i = 0; i < line_count_each; ++i) {
        EXPECT_TRUE(worker->wait_line("ok ", seconds(30)).has_value());
      }
      EXPECT_EQ(worker->wait_exit(seconds(20)), 0);
    }
    for (const auto& server : servers_) EXPECT_EQ(server->wait_exit(seconds(20)), 0);
    EXPECT_EQ(scheduler_->wait_exit(seconds(20)), 0);
  }

  // Kills, and expects the others to end with the dead one's name.
  static void expect_named(Child& victim, const std::string& role,
                           const std::vector<Child*>& survivors) {
    const std::string process = "process " + std::to_string(victim.pid()) + " on ";
    victim.signal(SIGKILL);
    const base::Instant start = base::now();
    for (Child* survivor : survivors) {
      const std::string line = survivor->wait_line("ended ", seconds(20)).value_or("no line");
      EXPECT_THAT(line, HasSubstr(role));
      EXPECT_THAT(line, HasSubstr(process));
      EXPECT_EQ(survivor->wait_exit(seconds(10)), 3);
    }
    EXPECT_LT(base::now() - start, seconds(5));
  }
  static void expect_ready(Child& child) {
    ASSERT_TRUE(child.wait_line("ready", seconds(20)).has_value());
  }

  std::vector<std::unique_ptr<Child>> workers_;
  std::vector<std::unique_ptr<Child>> servers_;
  std::unique_ptr<Child> scheduler_;
};

TEST_F(PsLiteTest, SumsAreExactWithOneServer) {
  start("train", 1, 2);
  expect_training(1);
}

TEST_F(PsLiteTest, SumsAreExactWithSeveralServers) {
  start("train", 3, 3);
  expect_training(1);
}

TEST_F(PsLiteTest, CustomersOfOneProcessAreWorkers) {
  start("threads", 2, 2);
  expect_training(2);
}

TEST_F(PsLiteTest, AKilledServerIsNamedToWhoWaitsForIt) {
  start("wait", 1, 2);
  expect_ready(*workers_[0]);
  expect_named(*servers_[0], "server 0 (node 8", {workers_[0].get(), workers_[1].get()});
}

TEST_F(PsLiteTest, AKilledServerIsNamedInTheBarrier) {
  start("barrier", 1, 2);
  expect_ready(*workers_[1]);
  expect_named(*servers_[0], "server 0 (node 8", {workers_[0].get(), scheduler_.get()});
}

TEST_F(PsLiteTest, AKilledWorkerIsNamedInTheBarrier) {
  start("barrier", 1, 2);
  expect_ready(*workers_[1]);
  expect_ready(*servers_[0]);
  expect_named(*workers_[1], "worker 1 (node 11",
               {workers_[0].get(), servers_[0].get(), scheduler_.get()});
}

TEST_F(PsLiteTest, AKilledSchedulerIsNamedInTheBarrier) {
  start("barrier", 1, 2);
  expect_ready(*workers_[1]);
  expect_ready(*servers_[0]);
  expect_named(*scheduler_, "scheduler", {workers_[0].get(), servers_[0].get()});
}

TEST_F(PsLiteTest, WhoHasNotComeAtTheStartIsToldToAll) {
  ::setenv("PS_START_TIMEOUT", "1", 1);
  ::setenv("DMLC_NUM_SERVER", "1", 1);
  ::setenv("DMLC_NUM_WORKER", "2", 1);
  workers_.push_back(launch("worker", "train"));
  scheduler_ = launch("scheduler", "train");
  for (Child* child : {workers_[0].get(), scheduler_.get()}) {
    const std::string line = child->wait_line("ended ", seconds(20)).value_or("no line");
    EXPECT_THAT(line, HasSubstr("1 of 2 workers (process " + std::to_string(workers_[0]->pid())));
    EXPECT_THAT(line, HasSubstr("0 of 1 servers"));
  }
}

}  // namespace
}  // namespace phub::process
