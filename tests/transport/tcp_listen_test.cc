// Goal: links listen at every address at one port of the range, and who cannot is told what holds
// it; a connection that cannot be made is explained. Method: real sockets on the loopback.
#include "transport/tcp_listen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "transport/tcp.h"
#include "transport/tcp_advice.h"

namespace phub::transport {
namespace {

using testing::HasSubstr;

// A port that is free on both of these addresses.
uint16_t free_port() {
  uint16_t port = 0;
  EXPECT_TRUE(listen_at_door({{"127.0.0.1", "127.0.0.2"}, 0, 0}, &port).ok());
  return port;
}

TEST(TcpListenTest, AllHostsShareAPort) {
  uint16_t port = 0;
  const auto listeners = listen_at_door({{"127.0.0.1", "127.0.0.2"}, 0, 0}, &port);
  ASSERT_TRUE(listeners.ok()) << listeners.status().message();
  EXPECT_EQ(listeners->size(), 2u);
  const base::Instant soon = base::now() + std::chrono::seconds(5);
  EXPECT_TRUE(connect_tcp({"127.0.0.1", port}, soon).ok());
  EXPECT_TRUE(connect_tcp({"127.0.0.2", port}, soon).ok());
  EXPECT_FALSE(connect_tcp({"127.0.0.3", port}, soon).ok());
}

TEST(TcpListenTest, APortThatIsTakenAtOneHostIsPassedOverForAll) {
  const uint16_t first = free_port();
  base::HostPort bound;
  const auto taken = listen_tcp({"127.0.0.2", first}, &bound);
  ASSERT_TRUE(taken.ok()) << taken.status().message();
  const auto last = static_cast<uint16_t>(std::min(first + 200, 65'535));
  uint16_t port = 0;
  const auto listeners = listen_at_door({{"127.0.0.1", "127.0.0.2"}, first, last}, &port);
  ASSERT_TRUE(listeners.ok()) << listeners.status().message();
  EXPECT_GT(port, first);
  EXPECT_LE(port, last);
}

TEST(TcpListenTest, AnExhaustedRangeNamesItselfAndItsHolder) {
  const uint16_t port = free_port();
  base::HostPort bound;
  const auto taken = listen_tcp({"127.0.0.1", port}, &bound);
  ASSERT_TRUE(taken.ok());
  uint16_t unused = 0;
  const Status status = listen_at_door({{"127.0.0.1"}, port, port}, &unused).status();
  EXPECT_EQ(status.code(), Code::unavailable);
  const std::string number = std::to_string(port);
  EXPECT_THAT(status.message(), HasSubstr("all 1 ports from " + number + " to " + number));
  EXPECT_THAT(status.message(), HasSubstr("(process " + std::to_string(::getpid()) + ")"));
  EXPECT_THAT(status.message(), HasSubstr("port_range"));
  const Status session = listen_at_port({"127.0.0.1", port}, &bound).status();
  EXPECT_EQ(session.code(), Code::already_exists);
  EXPECT_THAT(session.message(), HasSubstr("(process " + std::to_string(::getpid()) + ")"));
}

TEST(TcpListenTest, AnAddressOfAnotherMachineIsRefusedWithWhatThisOneHas) {
  uint16_t port = 0;
  const Status status = listen_at_door({{"192.0.2.1"}, 7100, 7163}, &port).status();
  EXPECT_EQ(status.code(), Code::unavailable);
  EXPECT_THAT(status.message(), HasSubstr("lo 127.0.0.1"));
}

TEST(TcpAdviceTest, WhyAndWhatToDoFollowTheError) {
  const SocketAddress address = resolve({"10.0.0.7", 7077})->at(0);
  for (const auto& [error, advice] :
       std::vector<std::pair<int, std::string>>{{ECONNREFUSED, "is phubd running"},
                                                {EHOSTUNREACH, "check the address, the cable"},
                                                {ENETUNREACH, "no route"},
                                                {ETIMEDOUT, "is a firewall between"},
                                                {EPERM, "firewall of this machine"}}) {
    const std::string text = describe_connect_error(error, address);
    EXPECT_THAT(text, HasSubstr("connect to 10.0.0.7:7077: "));
    EXPECT_THAT(text, HasSubstr(advice));
  }
  const SocketAddress local = resolve({"fe80::1", 7077})->at(0);
  EXPECT_THAT(describe_connect_error(EINVAL, local), HasSubstr("%eth0"));
  const auto unknown = resolve({"no-such-host.invalid", 1});
  EXPECT_EQ(unknown.status().code(), Code::not_found);
  EXPECT_THAT(unknown.status().message(), HasSubstr("no-such-host.invalid"));
}

// What a worker whose session goes to `hub_host` makes of an offer that names `host`.
Status connect_by_offer(const std::string& hub_host, const std::string& host) {
  const auto worker = std::move(TcpFabric::make({.hub_host = hub_host})).value();
  LinkOptions options;
  options.acceptor_puts_max = options.connector_puts_max = 1;
  Bootstrap answer;
  TcpOffer offer;
  offer.host = host;
  offer.port = 9;
  return worker->connect(options, {encode_tcp_offer(offer, options), {}}, &answer).status();
}

TEST(TcpAdviceTest, ALoopbackIsFollowedOnlyToAHubOnThisMachine) {
  for (const char* host : {"127.0.0.1", "::1", "localhost"}) {
    const Status status = connect_by_offer("192.0.2.1", host);
    EXPECT_EQ(status.code(), Code::invalid_argument) << host;
    EXPECT_THAT(status.message(), HasSubstr("advertise"));
    EXPECT_THAT(status.message(), HasSubstr("192.0.2.1"));
    EXPECT_TRUE(connect_by_offer("127.0.0.1", host).ok());
    EXPECT_TRUE(connect_by_offer("localhost", host).ok());
  }
  EXPECT_TRUE(is_loopback_host("localhost"));
  EXPECT_FALSE(is_loopback_host("192.0.2.1"));
  EXPECT_FALSE(is_loopback_host(""));
}

}  // namespace
}  // namespace phub::transport
