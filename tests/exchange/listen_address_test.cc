// Goal: what an operator writes becomes addresses that can be bound, and what workers are told.
// Method: tables of texts on an invented machine.
#include "exchange/listen_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phub::exchange {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<base::LocalAddress> kMachine = {
    {"lo", "127.0.0.1"}, {"eth0", "10.0.0.7"}, {"eth1", "10.1.0.7"}, {"eth1", "fd01::7"}};

std::string listen(std::string_view text) {
  const auto addresses = parse_listen(text, kMachine);
  if (!addresses.ok()) return addresses.status().message();
  std::string all;
  for (const Address& address : *addresses) all += to_text(address) + " ";
  return all;
}

TEST(ListenAddressTest, InterfacesAndBlocksBecomeAddresses) {
  EXPECT_EQ(listen("tcp://eth1:7077"), "tcp://10.1.0.7:7077 ");
  EXPECT_EQ(listen("shm:///a.sock,tcp://10.0.0.0/16:1,tcp://[fd01::/64]:0"),
            "shm:///a.sock tcp://10.0.0.7:1 tcp://[fd01::7]:0 ");
  EXPECT_EQ(listen("shm:///a.sock, tcp://eth1:1 "), "shm:///a.sock tcp://10.1.0.7:1 ");
  EXPECT_EQ(listen("verbs://eth1:7079,dpdk://eth0:7080"),
            "verbs://10.1.0.7:7079 dpdk://10.0.0.7:7080 ");
  EXPECT_EQ(listen("tcp://0.0.0.0:7077,tcp://[::]:7078"), "tcp://0.0.0.0:7077 tcp://[::]:7078 ");
}

TEST(ListenAddressTest, WhatCannotBeBoundIsRefusedWithTheReason) {
  EXPECT_THAT(listen("tcp://eth7:7077"), HasSubstr("listen on tcp://eth7:7077"));
  EXPECT_THAT(listen("tcp://eth7:7077"), HasSubstr("eth0 10.0.0.7"));
  EXPECT_THAT(listen("tcp://10.9.0.0/16:7077"), HasSubstr("no address of this machine is in"));
  EXPECT_THAT(listen("tcp://10.9.0.0/99:7077"), HasSubstr("hub address"));
  EXPECT_THAT(listen("eth1:7077"), HasSubstr("no scheme"));
  EXPECT_THAT(listen("ipx://eth1:7077"), HasSubstr("lacks"));
  EXPECT_THAT(listen("tcp://eth1:7077,"), HasSubstr("no scheme"));
}

TEST(ListenAddressTest, WorkersAreToldAnAddressWhereTheMachineKnowsItBest) {
  EXPECT_EQ(*parse_advertise("", kMachine), "");
  EXPECT_EQ(*parse_advertise("eth1", kMachine), "10.1.0.7");
  EXPECT_EQ(*parse_advertise("fd01::/16", kMachine), "fd01::7");
  EXPECT_EQ(*parse_advertise("hub.rack8", kMachine), "hub.rack8");
  EXPECT_EQ(*parse_advertise("192.0.2.1", kMachine), "192.0.2.1");
  EXPECT_THAT(parse_advertise("10.9.0.0/16", kMachine).status().message(), HasSubstr("advertise"));
}

TEST(ListenAddressTest, LinksListenWhereverSessionsDoAndOnceOnly) {
  const auto hosts = [](std::string_view text) {
    return link_hosts(*parse_listen(text, kMachine), "tcp");
  };
  EXPECT_THAT(hosts("shm:///a,tcp://eth0:1,tcp://eth1:1,tcp://eth0:2"),
              ElementsAre("10.0.0.7", "10.1.0.7"));
  EXPECT_THAT(hosts("tcp://eth0:1,tcp://0.0.0.0:2,tcp://[fd01::7]:3"),
              ElementsAre("0.0.0.0", "fd01::7"));
  EXPECT_THAT(hosts("tcp://eth0:1,tcp://[::]:2,tcp://[fd01::7]:3"), ElementsAre("::"));
}

}  // namespace
}  // namespace phub::exchange
