// Goal: a service manager is told the truth: ready when ranks can join, alive only while control
// and every shard make progress, what the hub is doing, and that it ends.
// Method: a real phubd that talks to a socket of this test; one shard's thread is halted by ptrace.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "base/fd.h"
#include "base/thread.h"
#include "tests/process/child.h"

namespace phub::process {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr milliseconds kLimit{600};  // WATCHDOG_USEC: phubd speaks up thrice as often.

class ServiceManagerTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/phub-service-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    socket_ = base::Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = folder_ + "/notify";
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("WATCHDOG_USEC");
    std::filesystem::remove_all(folder_);
  }

  std::string address() const { return "shm://" + folder_ + "/hub.sock"; }
  Child start_hub(milliseconds watchdog) {
    ::setenv("WATCHDOG_USEC", std::to_string(watchdog.count() * 1000).c_str(), 1);
    if (watchdog.count() == 0) ::unsetenv("WATCHDOG_USEC");
    const size_t shards = std::min<size_t>(2, base::allowed_cores().size());
    return Child({PHUB_TEST_PHUBD, "--listen", address(), "--http", "off", "--shards",
                  std::to_string(shards)});
  }

  // The next message; empty: none within `patience`.
  std::string next(milliseconds patience) const {
    pollfd waited{socket_.get(), POLLIN, 0};
    if (::poll(&waited, 1, static_cast<int>(patience.count())) <= 0) return "";
    char text[1024];
    const ssize_t count = ::recv(socket_.get(), text, sizeof(text), 0);
    return count < 0 ? "" : std::string(text, static_cast<size_t>(count));
  }
  // The next message with `part`; empty: not within `patience`.
  std::string next_with(const std::string& part, milliseconds patience) const {
    const base::Instant deadline = base::now() + patience;
    while (base::now() < deadline) {
      const std::string text = next(milliseconds((deadline - base::now()).count() / 1'000'000 + 1));
      if (text.find(part) != std::string::npos) return text;
    }
    return "";
  }

  std::string folder_;
  base::Fd socket_;
};

// The thread of that name; 0: there is none.
pid_t thread_of(pid_t process, const std::string& name) {
  const std::string tasks = "/proc/" + std::to_string(process) + "/task";
  for (const auto& entry : std::filesystem::directory_iterator(tasks)) {
    std::string found;
    std::getline(std::ifstream(entry.path() / "comm") >> std::ws, found);
    if (found == name) return std::stoi(entry.path().filename());
  }
  return 0;
}

TEST_F(ServiceManagerTest, ItHearsReadyThenAliveThenStopping) {
  Child hub = start_hub(kLimit);
  const std::string ready = next(seconds(20));
  EXPECT_THAT(ready, HasSubstr("READY=1"));
  EXPECT_THAT(ready, HasSubstr("STATUS=" + address() + ": 0 jobs"));
  for (int i = 0; i < 4; ++i) EXPECT_NE(next_with("WATCHDOG=1", kLimit * 5), "");
  hub.signal(SIGTERM);
  EXPECT_THAT(next_with("STOPPING=1", seconds(10)), HasSubstr("STOPPING=1"));
  EXPECT_EQ(hub.wait_exit(seconds(10)), 0);
}

TEST_F(ServiceManagerTest, WithoutAWatchdogItHearsNoneOfIt) {
  Child hub = start_hub(milliseconds(0));
  EXPECT_THAT(next(seconds(20)), HasSubstr("READY=1"));
  EXPECT_EQ(next_with("WATCHDOG", milliseconds(500)), "");
}

TEST_F(ServiceManagerTest, AStuckShardStopsTheWatchdogAndADelayDoesNotKeepItStopped) {
  Child hub = start_hub(kLimit);
  ASSERT_NE(next_with("WATCHDOG=1", seconds(20)), "");
  const pid_t shard = thread_of(hub.pid(), "phub-shard0");
  ASSERT_GT(shard, 0);
  if (::ptrace(PTRACE_SEIZE, shard, nullptr, nullptr) != 0 && errno == EPERM) {
    GTEST_SKIP() << "this machine does not let a process trace its child (ptrace)";
  }
  ASSERT_EQ(::ptrace(PTRACE_INTERRUPT, shard, nullptr, nullptr), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(shard, &status, __WALL), shard);
  // What was asked before the halt may still be answered and said.
  while (next_with("WATCHDOG=1", kLimit) != "") {
  }
  EXPECT_EQ(next_with("WATCHDOG=1", kLimit * 2), "");
  ASSERT_EQ(::ptrace(PTRACE_DETACH, shard, nullptr, nullptr), 0);
  EXPECT_NE(next_with("WATCHDOG=1", seconds(10)), "");
}

TEST_F(ServiceManagerTest, WhileItDrainsItSaysWhatItWaitsForAndIsNotStopping) {
  Child hub = start_hub(kLimit);
  ASSERT_NE(next_with("READY=1", seconds(20)), "");
  Child first({PHUB_TEST_WORKER, address(), "drained", "0", "2"});
  Child second({PHUB_TEST_WORKER, address(), "drained", "1", "2"});
  ASSERT_TRUE(first.wait_line("joined", seconds(20)).has_value());
  EXPECT_NE(next_with(": 1 job", seconds(10)), "");
  hub.signal(SIGTERM);
  const std::string draining = next_with("draining", seconds(10));
  EXPECT_THAT(draining, HasSubstr("draining, 1 job left"));
  EXPECT_EQ(next_with("STOPPING", kLimit * 2), "");
  hub.signal(SIGTERM);
  EXPECT_NE(next_with("STOPPING=1", seconds(10)), "");
  EXPECT_EQ(hub.wait_exit(seconds(10)), 0);
}

}  // namespace
}  // namespace phub::process
