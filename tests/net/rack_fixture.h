// A hub and its workers as processes on machines of their own.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tests/net/network.h"
#include "tests/process/child.h"

namespace phub::net {

using process::Child;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr seconds kPatience{30};  // For what is sure to come.

class RackFixture : public testing::Test {
 protected:
  void SetUp() override {
    const std::string why = Network::why_unavailable();
    if (!why.empty()) GTEST_SKIP() << why;
    std::string folder = "/tmp/phub-net-XXXXXX";
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    network_.emplace();
  }
  void TearDown() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  std::string socket() const { return folder_ + "/phub.sock"; }

  // Makes the hub's machine and `count` more for workers.
  void add_nodes(uint32_t count, const NodeOptions& options = {}) {
    hub_node_ = &network_->add(options);
    for (uint32_t i = 0; i < count; ++i) nodes_.push_back(&network_->add(options));
  }
  // listen: without the socket for shared memory, which is always there.
  Child start_hub(const std::string& listen, const std::vector<std::string>& more = {}) {
    std::vector<std::string> argv = {PHUB_TEST_PHUBD, "--listen",
                                     "shm://" + socket() + "," + listen};
    argv.insert(argv.end(), {"--shards", shards_, "--ready-fd", "1", "--port-range", "7100-7131"});
    argv.insert(argv.end(), {"--log-level", "error", "--http", http_});
    argv.insert(argv.end(), more.begin(), more.end());
    Child hub(argv, {hub_node_->network(), ""});
    ready_ = hub.wait_line("phubd", kPatience).value_or("");
    EXPECT_THAT(ready_, HasSubstr("ready")) << "phubd did not start";
    return hub;
  }
  // A rank of a job on a machine of its own, where the hub's socket is not.
  Child start_worker(const Node& node, const std::string& hub, const std::string& job,
                     uint32_t rank, uint32_t size, uint64_t rounds, uint64_t elements = 200'000,
                     bool holds = false) {
    std::vector<std::string> argv = {PHUB_TEST_NET_WORKER,
                                     hub,
                                     job,
                                     std::to_string(rank),
                                     std::to_string(size),
                                     std::to_string(rounds),
                                     std::to_string(elements)};
    if (holds) argv.push_back("hold");
    return Child(argv, {node.network(), &node == hub_node_ ? "" : folder_});
  }
  // One rank on each of the workers' machines.
  std::vector<Child> start_job(const std::string& hub, const std::string& job, uint64_t rounds,
                               uint64_t elements = 200'000) {
    std::vector<Child> workers;
    const auto size = static_cast<uint32_t>(nodes_.size());
    for (uint32_t rank = 0; rank < size; ++rank) {
      workers.push_back(start_worker(*nodes_[rank], hub, job, rank, size, rounds, elements));
    }
    return workers;
  }
  static void expect_done(std::vector<Child>& workers) {
    for (size_t rank = 0; rank < workers.size(); ++rank) {
      const std::optional<int> status = workers[rank].wait_exit(kPatience);
      EXPECT_EQ(status, 0) << "rank " << rank << ": "
                           << workers[rank].wait_line("", milliseconds(20)).value_or("silent")
                           << workers[rank].wait_line("error", milliseconds(20)).value_or("");
    }
  }
  static void expect_rounds(Child& worker) {
    const auto line = worker.wait_line("round", kPatience);
    EXPECT_TRUE(line.has_value()) << worker.wait_line("", milliseconds(20)).value_or("silent");
  }
  // Rounds that began after this call, of workers that go on without end.
  static void expect_new_rounds(Child& worker) {
    while (worker.wait_line("round", milliseconds(5)).has_value()) continue;
    for (int i = 0; i < 3; ++i) expect_rounds(worker);
  }
  static std::string error_of(Child& worker) {
    return worker.wait_line("error", kPatience).value_or("no error");
  }

  std::optional<Network> network_;
  std::string folder_;
  Node* hub_node_ = nullptr;
  std::vector<Node*> nodes_;
  std::string ready_;
  std::string http_ = "off";  // Of the hub.
  std::string shards_ = "1";  // Likewise.
};

}  // namespace phub::net
