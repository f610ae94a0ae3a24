// Goal: with dpdk:// jobs run from end to end over interfaces of the kernel, one machine each:
// every sum is exact, also where the wire loses, doubles and reorders frames and where the kernel
// spreads packets over the shards' queues; a worker that dies is named and harms nobody else.
// Method: phubd and workers in network namespaces joined by a bridge, af_packet on each one's eth0;
// sessions are the kernel's TCP on the same cables. Workers check every sum of every round.
#include <signal.h>

#include "tests/net/rack_fixture.h"

namespace phub::net {
namespace {

class DpdkTest : public RackFixture {
 protected:
  ~DpdkTest() override {
    for (const char* const name : {"PHUB_DPDK_EAL", "PHUB_DPDK_ADDRESSES", "PHUB_DPDK_UDP_PORT"}) {
      ::unsetenv(name);
    }
  }
  static std::string eal(uint32_t queue_pairs, uint32_t mtu) {
    const std::string frames = mtu > 1500 ? ",blocksz=65536,framesz=16384,framecnt=256" : "";
    return "--no-huge --no-pci --vdev=net_af_packet0,iface=eth0,qpairs=" +
           std::to_string(queue_pairs) + frames;
  }
  // is_ipv4: 10.88.0.N, which the kernel does not use; otherwise made from MAC addresses.
  Child start_dpdk_hub(uint32_t shards, bool is_ipv4 = true, uint32_t mtu = 1500) {
    is_ipv4_ = is_ipv4;
    mtu_ = mtu;
    shards_ = std::to_string(shards);
    std::vector<std::string> more = {"--dpdk-eal=" + eal(shards, mtu)};
    if (is_ipv4) more.insert(more.end(), {"--dpdk-addresses", "10.88.0.1"});
    return start_hub("dpdk://10.77.0.1:7077", more);
  }
  std::vector<Child> start_dpdk_job(const std::string& job, uint64_t rounds,
                                    uint64_t elements = 200'000) {
    ::setenv("PHUB_DPDK_EAL", eal(1, mtu_).c_str(), 1);
    std::vector<Child> workers;
    const auto size = static_cast<uint32_t>(nodes_.size());
    for (uint32_t rank = 0; rank < size; ++rank) {
      const std::string address = "10.88.0." + std::to_string(rank + 2);
      if (is_ipv4_) ::setenv("PHUB_DPDK_ADDRESSES", address.c_str(), 1);
      workers.push_back(
          start_worker(*nodes_[rank], "dpdk://10.77.0.1:7077", job, rank, size, rounds, elements));
    }
    ::unsetenv("PHUB_DPDK_ADDRESSES");
    return workers;
  }

  // Of the hub's packets, as its operator sees it.
  uint64_t packets(const std::string& what) const {
    Child ctl({PHUB_TEST_PHUBCTL, "status", "--json", "--http", http_}, {hub_node_->network(), ""});
    const std::string field = "\"" + what + "\":";
    while (const auto line = ctl.wait_line("", kPatience)) {
      const size_t begin = line->rfind(field);
      if (begin != line->npos) return std::strtoull(&(*line)[begin + field.size()], nullptr, 10);
    }
    ADD_FAILURE() << "phubctl does not say " << what;
    return 0;
  }

 private:
  bool is_ipv4_ = true;
  uint32_t mtu_ = 1500;
};

TEST_F(DpdkTest, SumsAreExactOverSmallAndLargeFramesAndBothFamilies) {
  for (const uint32_t mtu : {1500u, 9000u}) {
    SCOPED_TRACE(mtu);
    network_.emplace();
    nodes_.clear();
    add_nodes(2, {.mtu = mtu});
    const Child hub = start_dpdk_hub(1, mtu == 1500, mtu);
    std::vector<Child> workers = start_dpdk_job("plain", 20);
    expect_done(workers);
  }
}

class DpdkLossyTest : public DpdkTest, public testing::WithParamInterface<uint32_t> {};

TEST_P(DpdkLossyTest, SumsAreExactAndNothingHangs) {
  if (::access("/dev/net/tun", W_OK) != 0) GTEST_SKIP() << "there is no /dev/net/tun";
  hub_node_ = &network_->add();
  http_ = "127.0.0.1:7070";
  const NodeOptions bad{.loss = GetParam(), .duplicate = GetParam(), .delay = GetParam()};
  nodes_ = {&network_->add(bad), &network_->add(bad)};
  const Child hub = start_dpdk_hub(1);
  std::vector<Child> workers = start_dpdk_job("lossy", 10, 100'000);
  expect_done(workers);
  EXPECT_GT(packets("duplicate"), 0u);
}
// Of a thousand frames.
INSTANTIATE_TEST_SUITE_P(rates, DpdkLossyTest, testing::Values(1, 10, 50));

TEST_F(DpdkTest, SumsAreExactWhereTheKernelSpreadsPacketsOverTheShards) {
  add_nodes(2);
  http_ = "127.0.0.1:7070";
  const Child hub = start_dpdk_hub(2);
  // Which queue a flow comes to is the kernel's choice, by a hash: one set of flows after another,
  // until there were some that came to the other shard.
  for (uint32_t port = 7171; port < 7171 + 20 * 8; port += 8) {
    SCOPED_TRACE(port);
    ::setenv("PHUB_DPDK_UDP_PORT", std::to_string(port).c_str(), 1);
    std::vector<Child> workers = start_dpdk_job("spread" + std::to_string(port), 10);
    expect_done(workers);
    if (HasFailure() || packets("handed_over") > 0) break;
  }
  EXPECT_GT(packets("handed_over"), 0u);
}

TEST_F(DpdkTest, AWorkerThatDiesIsNamedToTheOthersAndTheHubServesTheNextJob) {
  add_nodes(2);
  Child hub = start_dpdk_hub(1);
  std::vector<Child> workers = start_dpdk_job("doomed", 0);
  for (Child& worker : workers) expect_rounds(worker);
  const std::string process = std::to_string(workers[1].pid());
  workers[1].signal(SIGKILL);
  EXPECT_THAT(error_of(workers[0]), HasSubstr("rank 1 (process " + process));
  EXPECT_TRUE(workers[0].wait_exit(kPatience).has_value());
  EXPECT_TRUE(workers[1].wait_exit(kPatience).has_value());
  std::vector<Child> again = start_dpdk_job("doomed", 10);
  expect_done(again);
  EXPECT_EQ(hub.wait_exit(milliseconds(0)), std::nullopt) << "phubd is gone";
}

}  // namespace
}  // namespace phub::net
