// Goal: what a host's link carries follows from where the hubs are, as Parameter Hub's table says.
// Method: the table's formulas by hand; measured bytes of made-up processes.
#include "perf/form.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "perf/socket_bytes.h"
#include "transport/tcp_socket.h"

namespace phub::perf {
namespace {

TEST(FormTest, TheFourFormsHaveTheNamesOfThePaper) {
  EXPECT_EQ(name_of({1, false}), "NCC");
  EXPECT_EQ(name_of({3, false}), "NCS");
  EXPECT_EQ(name_of({1, true}), "CC");
  EXPECT_EQ(name_of({8, true}), "CS");
}

TEST(FormTest, LinksCarryWhatTheTableSays) {
  constexpr double kModel = 1000;
  constexpr uint32_t kWorkers = 8;
  const auto bytes = [](const Form& form) { return link_bytes(form, kWorkers, 1000); };
  EXPECT_EQ(bytes({1, false}).hub_host, 2 * kModel * kWorkers);       // NCC: 2MN.
  EXPECT_EQ(bytes({kWorkers, false}).hub_host, 2 * kModel);           // NCS: 2M.
  EXPECT_EQ(bytes({1, true}).hub_host, 2 * kModel * (kWorkers - 1));  // CC: 2M(N-1).
  EXPECT_EQ(bytes({kWorkers, true}).hub_host, 4 * kModel * 7 / 8);    // CS: 4M(N-1)/N.
  EXPECT_EQ(bytes({1, false}).worker_host, 2 * kModel);
  EXPECT_EQ(bytes({1, true}).worker_host, 2 * kModel);
  EXPECT_EQ(bytes({kWorkers, true}).worker_host, 0);  // There is no such host.
}

TEST(FormTest, AColocatedHostsBytesAreItsHubsAndItsWorkersTogether) {
  const LinkBytes apart = link_bytes({2, false}, {100, 300}, {50, 70, 60}, 10);
  EXPECT_EQ(apart.hub_host, 30);
  EXPECT_EQ(apart.worker_host, 7);
  const LinkBytes together = link_bytes({2, true}, {100, 300}, {50, 70, 60}, 10);
  EXPECT_EQ(together.hub_host, 37);
  EXPECT_EQ(together.worker_host, 6);
}

TEST(SocketBytesTest, TheKernelCountsWhatAProcessSendsAndReceives) {
  base::HostPort bound;
  const base::Fd listener = transport::listen_tcp({"127.0.0.1", 0}, &bound).value();
  const base::Fd one = transport::connect_tcp(bound, base::now() + std::chrono::seconds(5)).value();
  const base::Fd other = transport::accept_tcp(listener.get()).value();
  const uint64_t before = tcp_bytes({::getpid()}).value().at(0);
  const std::string text(1234, 'x');
  ASSERT_EQ(::send(one.get(), text.data(), text.size(), 0), std::ssize(text));
  std::string heard(text.size(), ' ');
  ASSERT_EQ(::recv(other.get(), heard.data(), heard.size(), MSG_WAITALL), std::ssize(text));
  uint64_t counted = 0;  // The acknowledgement is counted when it has come.
  for (int i = 0; i < 500 && counted < 2 * text.size(); ++i) {
    counted = tcp_bytes({::getpid()}).value().at(0) - before;
    ::usleep(1000);
  }
  EXPECT_EQ(counted, 2 * text.size());
}

}  // namespace
}  // namespace phub::perf
