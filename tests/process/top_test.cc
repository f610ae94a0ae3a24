// Goal: top on a terminal shows a real hub, outlives its restart, and gives the terminal back as it
// was, however it ends.
// Method: phubctl as the only process of a pseudo-terminal; what it writes is read as it comes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include "base/fd.h"
#include "tests/process/child.h"

namespace phub::process {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

constexpr const char* kEnter = "\x1b[?1049h";
constexpr const char* kLeave = "\x1b[?1049l";

class TopOnATerminalTest : public testing::Test {
 protected:
  ~TopOnATerminalTest() override {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      ::waitpid(process_, nullptr, 0);
    }
  }
  Child start_hub(const std::string& http) {
    Child hub({PHUB_TEST_PHUBD, "--listen", "shm:///tmp/phub-top-" + std::to_string(::getpid()),
               "--http", http, "--shards", "1", "--log-level", "error"});
    const std::string ready = hub.wait_line("phubd", seconds(20)).value_or("no hub");
    const size_t begin = ready.find("http ");
    EXPECT_NE(begin, std::string::npos) << ready;
    http_ = ready.substr(begin + 5, ready.find(',', begin) - begin - 5);
    return hub;
  }
  void start_top() {
    winsize size{};
    size.ws_col = 80;
    size.ws_row = 24;
    int terminal = -1;
    process_ = ::forkpty(&terminal, nullptr, nullptr, &size);
    ASSERT_GE(process_, 0);
    if (process_ == 0) {
      ::execl(PHUB_TEST_PHUBCTL, "phubctl", "top", "--interval=100ms", "--http", http_.c_str(),
              static_cast<char*>(nullptr));
      ::_exit(127);
    }
    terminal_ = base::Fd(terminal);
  }
  // Reads until `text` has come since the last call that found something.
  bool sees(const std::string& text) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(20);
    while (seen_.find(text) == std::string::npos) {
      pollfd waited{terminal_.get(), POLLIN, 0};
      if (std::chrono::steady_clock::now() > deadline) return false;
      if (::poll(&waited, 1, 100) <= 0) continue;
      char bytes[4096];
      const ssize_t count = ::read(terminal_.get(), bytes, sizeof(bytes));
      if (count <= 0) return false;  // The process has gone, and with it the terminal.
      seen_.append(bytes, static_cast<size_t>(count));
    }
    seen_.erase(0, seen_.find(text) + text.size());
    return true;
  }
  void type(char key) { ASSERT_EQ(::write(terminal_.get(), &key, 1), 1); }
  int exit_status() {
    int status = -1;
    EXPECT_EQ(::waitpid(process_, &status, 0), process_);
    process_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::string http_;
  pid_t process_ = -1;
  base::Fd terminal_;
  std::string seen_;
};

TEST_F(TopOnATerminalTest, ItRefreshesOutlivesARestartAndLeavesCleanly) {
  {
    const Child hub = start_hub("127.0.0.1:0");
    start_top();
    ASSERT_TRUE(sees(kEnter));
    ASSERT_TRUE(sees("no jobs"));
    ASSERT_TRUE(sees("q quits"));
    ASSERT_TRUE(sees("/s, out "));  // Rates: the second look.
  }
  ASSERT_TRUE(sees("no hub answers at http " + http_));
  const Child again = start_hub(http_);
  ASSERT_TRUE(sees("SHARD"));
  type('q');
  EXPECT_TRUE(sees(kLeave));
  EXPECT_EQ(exit_status(), 0);
}

TEST_F(TopOnATerminalTest, ASignalAndCtrlCGiveTheTerminalBackAndAWindowMayShrink) {
  const Child hub = start_hub("127.0.0.1:0");
  for (const bool by_key : {true, false}) {
    start_top();
    termios before{};
    ASSERT_TRUE(sees("q quits"));
    winsize small{};
    small.ws_col = 20;
    small.ws_row = 4;
    ASSERT_EQ(::ioctl(terminal_.get(), TIOCSWINSZ, &small), 0);
    ASSERT_TRUE(sees(" more lines"));
    ASSERT_EQ(::tcgetattr(terminal_.get(), &before), 0);
    EXPECT_EQ(before.c_lflag & ECHO, 0u);
    if (by_key) {
      type(3);
    } else {
      ::kill(process_, SIGTERM);
    }
    EXPECT_TRUE(sees(kLeave));
    EXPECT_EQ(exit_status(), 0);
    seen_.clear();
  }
}

}  // namespace
}  // namespace phub::process
