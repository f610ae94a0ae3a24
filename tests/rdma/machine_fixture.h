// A hub and its workers as processes in the virtual machine, each on devices of its own. Their
// sessions stay inside the machine: what happens to cables happens to the chunks alone.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "tests/process/child.h"
#include "tests/rdma/cables.h"

namespace phub::rdma {

using process::Child;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr seconds kPatience{60};  // For what is sure to come: the machine is an emulated one.

class MachineFixture : public testing::Test {
 protected:
  static constexpr uint32_t kDeviceCount = 4;

  void SetUp() override {
    const std::string why = Cables::why_unavailable(kDeviceCount);
    if (!why.empty()) GTEST_SKIP() << why;
  }

  Child start_hub(const std::string& devices, const std::vector<std::string>& more = {}) {
    std::vector<std::string> argv = {PHUB_TEST_PHUBD, "--listen", address_, "--http", "off"};
    argv.insert(argv.end(), {"--shards", "1", "--log-level", "error", "--ready-fd", "1"});
    argv.insert(argv.end(), {"--rdma-devices", devices});
    argv.insert(argv.end(), more.begin(), more.end());
    Child hub(argv);
    EXPECT_TRUE(hub.wait_line("phubd", kPatience).has_value()) << "phubd did not start";
    return hub;
  }
  // A worker on these devices; `argv` is what it runs.
  static Child start_on(const std::string& devices, std::vector<std::string> argv) {
    argv.insert(argv.begin(), {"/usr/bin/env", "PHUB_RDMA_DEVICES=" + devices});
    return Child(argv);
  }
  // A rank that checks every result of every round. rounds 0: without end.
  Child start_rank(const std::string& devices, const std::string& job, uint32_t rank, uint32_t size,
                   uint64_t rounds = 0, uint64_t elements = 20'000) const {
    return start_on(
        devices, {PHUB_TEST_NET_WORKER, address_, job, std::to_string(rank), std::to_string(size),
                  std::to_string(rounds), std::to_string(elements)});
  }
  // Two of them, on devices 1 and 2.
  std::vector<Child> start_pair(const std::string& job, uint64_t rounds = 0) const {
    std::vector<Child> ranks;
    ranks.push_back(start_rank("rxe1", job, 0, 2, rounds));
    ranks.push_back(start_rank("rxe2", job, 1, 2, rounds));
    return ranks;
  }

  static void expect_rounds(std::vector<Child>& ranks) {
    for (Child& rank : ranks) {
      EXPECT_TRUE(rank.wait_line("round", kPatience).has_value())
          << rank.wait_line("", milliseconds(50)).value_or("silent");
    }
  }
  // Rounds that began after this call.
  static void expect_new_rounds(std::vector<Child>& ranks) {
    for (Child& rank : ranks) {
      while (rank.wait_line("round", milliseconds(5)).has_value()) continue;
    }
    for (int i = 0; i < 2; ++i) expect_rounds(ranks);
  }
  static void wait_for_silence(Child& rank) {
    const base::Instant deadline = base::now() + kPatience;
    while (rank.wait_line("round", milliseconds(500)).has_value()) {
      ASSERT_LT(base::now(), deadline) << "nothing stopped it";
    }
  }
  static void expect_done(std::vector<Child>& ranks) {
    for (Child& rank : ranks) {
      const std::optional<int> status = rank.wait_exit(kPatience);
      EXPECT_EQ(status, 0) << rank.wait_line("error", milliseconds(50)).value_or("no error line");
    }
  }
  static std::string error_of(Child& rank) {
    return rank.wait_line("error", kPatience).value_or("no error line");
  }

  const std::string address_ = "verbs://10.77.0.1:7077";
  Cables cables_;
};

}  // namespace phub::rdma
