// Goal: jobs train with exact results over real networks, whatever their frames and addresses, and
// whoever cannot connect is told why. Method: phubd and workers in network namespaces joined by a
// bridge; every result of every round is checked by the workers themselves.
#include "tests/net/rack_fixture.h"

namespace phub::net {
namespace {

using TrainingTest = RackFixture;

TEST_F(TrainingTest, ResultsAreExactOverSmallAndLargeFramesAndBothFamilies) {
  for (const uint32_t mtu : {1500u, 9000u}) {
    SCOPED_TRACE(mtu);
    network_.emplace();
    nodes_.clear();
    add_nodes(2, {.mtu = mtu});
    const std::string ipv4 = hub_node_->ipv4() + ":7077";
    const std::string ipv6 = "[" + hub_node_->ipv6() + "]:7077";
    const Child hub = start_hub("tcp://" + ipv4 + ",tcp://" + ipv6);
    std::vector<Child> four = start_job("tcp://" + ipv4, "four", 20);
    std::vector<Child> six = start_job("tcp://" + ipv6, "six", 20);
    expect_done(four);
    expect_done(six);
  }
}

TEST_F(TrainingTest, OneAddressServesAJobOverSharedMemoryAndTcp) {
  add_nodes(2);
  const Child hub = start_hub("tcp://eth0:7077");
  EXPECT_THAT(ready_, HasSubstr("tcp://10.77.0.1:7077"));
  std::vector<Child> workers;
  workers.push_back(start_worker(*hub_node_, "10.77.0.1:7077", "mixed", 0, 3, 20));
  workers.push_back(start_worker(*nodes_[0], "10.77.0.1:7077", "mixed", 1, 3, 20));
  workers.push_back(start_worker(*nodes_[1], "auto://10.77.0.1:7077", "mixed", 2, 3, 20));
  EXPECT_EQ(workers[0].wait_line("at", kPatience),
            "at shm://" + socket() + ", because it runs on this host");
  for (const size_t rank : {1u, 2u}) {
    EXPECT_THAT(workers[rank].wait_line("at", kPatience).value_or(""),
                HasSubstr("tcp://10.77.0.1:7077, because " + socket() +
                          " cannot be opened here: No such file"));
  }
  expect_done(workers);
}

TEST_F(TrainingTest, AMachineWithTwoNetworksServesBoth) {
  add_nodes(2);
  hub_node_->ip("addr add 10.78.0.1/24 dev eth0\n");
  nodes_[1]->ip("addr flush dev eth0\naddr add 10.78.0.3/24 dev eth0\n");
  const Child hub = start_hub("tcp://10.77.0.0/24:7077,tcp://10.78.0.0/24:7077");
  std::vector<Child> workers;
  workers.push_back(start_worker(*nodes_[0], "tcp://10.77.0.1:7077", "two", 0, 2, 10));
  workers.push_back(start_worker(*nodes_[1], "tcp://10.78.0.1:7077", "two", 1, 2, 10));
  expect_done(workers);
}

TEST_F(TrainingTest, AWildcardAndALinkLocalAddressServe) {
  add_nodes(2);
  const Child hub = start_hub("tcp://[::]:7077");
  std::vector<Child> workers;
  workers.push_back(start_worker(*nodes_[0], "tcp://[fe80::1%eth0]:7077", "local", 0, 2, 10));
  workers.push_back(start_worker(*nodes_[1], "10.77.0.1:7077", "local", 1, 2, 10));
  expect_done(workers);
}

TEST_F(TrainingTest, ResultsAreExactWhereFramesAreLostDoubledAndOvertakeEachOther) {
  if (::access("/dev/net/tun", W_OK) != 0) GTEST_SKIP() << "there is no /dev/net/tun";
  hub_node_ = &network_->add();
  nodes_ = {&network_->add(), &network_->add({.loss = 20, .duplicate = 20, .delay = 100})};
  const Child hub = start_hub("tcp://eth0:7077");
  std::vector<Child> workers = start_job("10.77.0.1:7077", "lossy", 10, 50'000);
  expect_done(workers);
}

TEST_F(TrainingTest, ALoopbackIsAdvertisedToWorkersOfTheHubsMachineOnly) {
  add_nodes(1);
  const Child hub = start_hub("tcp://0.0.0.0:7077", {"--advertise", "127.0.0.1"});
  Child remote = start_worker(*nodes_[0], "tcp://10.77.0.1:7077", "loop", 0, 1, 10);
  const std::string error = error_of(remote);
  EXPECT_THAT(error, HasSubstr("which came from 10.77.0.2:"));
  EXPECT_THAT(error, HasSubstr("connect to 127.0.0.1, the hub's own loopback; set `advertise`"));
  std::vector<Child> local;
  local.push_back(start_worker(*hub_node_, "tcp://10.77.0.1:7077", "loop", 0, 1, 10));
  expect_done(local);
}

TEST_F(TrainingTest, ALinkThatCannotBeMadeIsToldApartFromTheSession) {
  add_nodes(1);
  const Child hub = start_hub("tcp://eth0:7077", {"--advertise", "10.77.0.99"});
  Child worker = start_worker(*nodes_[0], "tcp://10.77.0.1:7077", "astray", 0, 1, 10);
  const std::string error = error_of(worker);
  EXPECT_THAT(error, HasSubstr("link to a shard of the hub"));
  EXPECT_THAT(error, HasSubstr("connect to 10.77.0.99:7100: No route to host"));
  EXPECT_THAT(error, HasSubstr("set `advertise` if the address is wrong"));
}

TEST_F(TrainingTest, WhoeverCannotConnectIsToldWhy) {
  add_nodes(1);
  nodes_[0]->ip("neigh add 10.77.0.98 lladdr 02:00:00:00:00:98 dev eth0\n");
  ::setenv("NET_WORKER_JOIN_MS", "6000", 1);
  const Child hub = start_hub("tcp://eth0:7077");
  const std::pair<const char*, const char*> cases[] = {
      {"tcp://10.77.0.1:9", "Connection refused (111): the host is there, but nothing listens"},
      {"10.77.0.1:9", "Connection refused (111): the host is there, but nothing listens"},
      {"tcp://192.0.2.1:7077", "Network is unreachable (101): this machine has no route"},
      {"tcp://10.77.0.99:7077", "No route to host (113): no host answers"},
      {"tcp://10.77.0.98:7077", "no answer in time: is the host up"},
      {"tcp://no-such-host.invalid:7077", "no host \"no-such-host.invalid\""},
      {"tcp://[fe80::1]:7077", "write [fe80::1%eth0]:7077"},
  };
  std::vector<Child> workers;
  for (const auto& [address, reason] : cases) {
    workers.push_back(start_worker(*nodes_[0], address, "none", 0, 1, 10));
  }
  for (size_t i = 0; i < workers.size(); ++i) {
    EXPECT_THAT(error_of(workers[i]), HasSubstr(cases[i].second)) << cases[i].first;
  }
  ::unsetenv("NET_WORKER_JOIN_MS");
}

}  // namespace
}  // namespace phub::net
