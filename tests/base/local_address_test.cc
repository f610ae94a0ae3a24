// Goal: an interface, a block, a name or an address means exactly one address of a machine, or the
// reason says what the machine has. Method: an invented machine; this one's loopback for real.
#include "base/local_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phub::base {
namespace {

using testing::HasSubstr;

const std::vector<LocalAddress> kMachine = {
    {"lo", "127.0.0.1"},      {"lo", "::1"},        {"eth0", "10.0.0.7"},
    {"eth0", "fd00::7"},      {"eth1", "10.1.0.7"}, {"eth1", "10.1.0.8"},
    {"eth2", "fe80::7%eth2"}, {"eth2", "fd02::7"},  {"eth3", "fe80::3%eth3"},
    {"eth4", "192.168.4.7"},
};

std::string chosen(std::string_view name) {
  const Result<std::string> host = choose_local_address(name, kMachine);
  return host.ok() ? *host : host.status().message();
}

TEST(LocalAddressTest, AnInterfaceMeansItsIpv4AddressOrForWantOfOneItsIpv6Address) {
  EXPECT_EQ(chosen("eth0"), "10.0.0.7");
  EXPECT_EQ(chosen("eth2"), "fd02::7");
  EXPECT_EQ(chosen("eth3"), "fe80::3%eth3");
  EXPECT_EQ(chosen("lo"), "127.0.0.1");
}

TEST(LocalAddressTest, ABlockMeansTheAddressInsideIt) {
  EXPECT_EQ(chosen("10.0.0.0/16"), "10.0.0.7");
  EXPECT_EQ(chosen("10.1.0.8/32"), "10.1.0.8");
  EXPECT_EQ(chosen("192.168.0.0/21"), "192.168.4.7");
  EXPECT_EQ(chosen("fd00::/64"), "fd00::7");
  EXPECT_EQ(chosen("fd02::/16"), "fd02::7");
}

TEST(LocalAddressTest, SeveralAndNoneAreRefusedWithWhatTheMachineHas) {
  for (const char* several : {"eth1", "10.1.0.0/24", "10.0.0.0/8", "0.0.0.0/0"}) {
    EXPECT_THAT(chosen(several), HasSubstr("several addresses")) << several;
    EXPECT_THAT(chosen(several), HasSubstr("10.1.0.7, 10.1.0.8")) << several;
  }
  for (const char* none : {"eth9", "172.16.0.0/12", "fd09::/64", "no such host"}) {
    EXPECT_THAT(chosen(none), HasSubstr("lo 127.0.0.1, lo ::1, eth0 10.0.0.7")) << none;
    EXPECT_EQ(choose_local_address(none, kMachine).status().code(), Code::invalid_argument);
  }
  EXPECT_THAT(choose_local_address("eth0", {}).status().message(), HasSubstr("no address"));
}

TEST(LocalAddressTest, AddressesMeanThemselvesAndNamesWhatTheMachineHasOfThem) {
  for (const char* host : {"0.0.0.0", "::", "127.9.9.9", "172.16.1.1", "fe80::1%eth0"}) {
    EXPECT_EQ(chosen(host), host);
  }
  EXPECT_EQ(chosen("localhost"), "127.0.0.1");
}

TEST(LocalAddressTest, BlocksAndWildcardsAreTold) {
  for (const char* block : {"10.0.0.0/8", "0.0.0.0/0", "fd00::/128", "10.1.2.3/32"}) {
    EXPECT_TRUE(is_block(block)) << block;
  }
  for (const char* other : {"10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0/8", "eth0/8",
                            "10.0.0.0/", "10.0.0.0/-1", "/8", "10.0.0.0/8x", ""}) {
    EXPECT_FALSE(is_block(other)) << other;
  }
  EXPECT_TRUE(is_wildcard("0.0.0.0"));
  EXPECT_TRUE(is_wildcard("::"));
  EXPECT_FALSE(is_wildcard("10.0.0.0"));
  EXPECT_FALSE(is_wildcard("eth0"));
}

TEST(LocalAddressTest, OwnAddressesAreKnownInEverySpelling) {
  for (const char* host : {"127.3.2.1", "::1", "10.1.0.8", "::ffff:10.1.0.8", "::ffff:127.0.0.1",
                           "FD00:0::7", "fe80::3", "fe80::3%eth3"}) {
    EXPECT_TRUE(is_own_address(host, kMachine)) << host;
  }
  for (const char* host : {"10.1.0.9", "fd00::8", "", "eth0", "0.0.0.0"}) {
    EXPECT_FALSE(is_own_address(host, kMachine)) << host;
  }
}

TEST(LocalAddressTest, ThisMachineHasALoopback) {
  const std::vector<LocalAddress> machine = local_addresses();
  EXPECT_THAT(to_text(machine), HasSubstr("lo 127.0.0.1"));
  EXPECT_EQ(*choose_local_address("127.0.0.0/8", machine), "127.0.0.1");
}

}  // namespace
}  // namespace phub::base
