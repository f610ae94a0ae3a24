// Goal: two processes find each other, by shared memory where they can; and when one of them dies
// or falls silent, the other's wait ends in time, with its name.
// Method: real processes, kill -9 and SIGSTOP; every wait has a deadline.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "base/clock.h"
#include "tests/process/child.h"

namespace phub::process {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

class MessengerProcessTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    listener_ = std::make_unique<Child>(start("2", "none"));
    const std::string line = listener_->wait_line("address ", seconds(20)).value_or("address ?");
    connector_ = std::make_unique<Child>(start("1", line.substr(8)));
    ASSERT_EQ(connector_->wait_line("echo ", seconds(20)), "echo whole");
    ASSERT_EQ(listener_->wait_line("echoed ", seconds(20)), "echoed 1");
  }
  Child start(const std::string& number, const std::string& address) const {
    return Child({PHUB_TEST_MESSENGER, number, address, GetParam()});
  }
  // What the survivor says, and within which time.
  static void expect_end(Child& survivor, const std::string& name, seconds limit) {
    const base::Instant start = base::now();
    const std::string line = survivor.wait_line("ended ", seconds(30)).value_or("no line");
    EXPECT_LT(base::now() - start, limit);
    EXPECT_THAT(line, HasSubstr("ended unavailable"));
    EXPECT_THAT(line, HasSubstr(name));
    EXPECT_EQ(survivor.wait_exit(seconds(10)), 0);
  }

  std::unique_ptr<Child> listener_;
  std::unique_ptr<Child> connector_;
};

INSTANTIATE_TEST_SUITE_P(Fabrics, MessengerProcessTest, testing::Values("auto", "tcp"),
                         [](const auto& one) { return std::string(one.param); });

TEST_P(MessengerProcessTest, AKilledListenerIsNamedAtOnce) {
  const std::string name = "peer 2 (process " + std::to_string(listener_->pid()) + " on ";
  listener_->signal(SIGKILL);
  expect_end(*connector_, name, seconds(1));
}

TEST_P(MessengerProcessTest, AKilledConnectorIsNamedAtOnce) {
  const std::string name = "peer 1 (process " + std::to_string(connector_->pid()) + " on ";
  connector_->signal(SIGKILL);
  expect_end(*listener_, name, seconds(1));
}

TEST_P(MessengerProcessTest, AStoppedProcessIsNamedWithinThePeerTimeout) {
  connector_->signal(SIGSTOP);
  expect_end(*listener_, "peer 1 (process " + std::to_string(connector_->pid()), seconds(3));
}

}  // namespace
}  // namespace phub::process
