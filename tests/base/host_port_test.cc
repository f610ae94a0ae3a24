// Goal: an address for HTTP is understood or refused, and loopback is told from the open network.
// Method: tables of texts.
#include "base/host_port.h"

#include <gtest/gtest.h>

namespace phub::base {
namespace {

TEST(HostPortTest, AddressesAreReadAndPrintedBack) {
  for (const char* text : {"127.0.0.1:7070", "localhost:0", "[::1]:65535", "0.0.0.0:80"}) {
    const Result<HostPort> address = parse_host_port(text);
    ASSERT_TRUE(address.ok()) << text << ": " << address.status().message();
    EXPECT_EQ(to_text(*address), text);
  }
  EXPECT_EQ(parse_host_port("[::1]:7070")->host, "::1");
}

TEST(HostPortTest, WrongAddressesAreRefused) {
  for (const char* text : {"", ":", ":7070", "host", "host:", "host:x", "host:65536", "::1:7070",
                           "[]:1", "a b:1", "http://host:1"}) {
    const Result<HostPort> address = parse_host_port(text);
    ASSERT_FALSE(address.ok()) << text;
    EXPECT_EQ(address.status().code(), Code::invalid_argument);
  }
}

TEST(HostPortTest, WhoListensMayNameAnInterfaceOrABlock) {
  EXPECT_EQ(parse_listen_host_port("eth1:7077")->host, "eth1");
  EXPECT_EQ(parse_listen_host_port("10.1.0.0/16:7077")->host, "10.1.0.0/16");
  EXPECT_EQ(parse_listen_host_port("[fd00::/64]:7077")->host, "fd00::/64");
  for (const char* text : {"10.1.0.0/33:1", "eth1/4:1", "[fd00::]/64:7077", "10.1.0.0/16"}) {
    EXPECT_EQ(parse_listen_host_port(text).status().code(), Code::invalid_argument) << text;
  }
  EXPECT_FALSE(parse_host_port("10.1.0.0/16:7077").ok());
}

TEST(HostPortTest, OnlyThisMachineIsLoopback) {
  for (const char* host : {"127.0.0.1", "127.8.9.1", "::1", "localhost"}) {
    EXPECT_TRUE(is_loopback(host)) << host;
  }
  for (const char* host : {"0.0.0.0", "10.0.0.1", "::", "localhost.example", "", "128.0.0.1"}) {
    EXPECT_FALSE(is_loopback(host)) << host;
  }
}

}  // namespace
}  // namespace phub::base
