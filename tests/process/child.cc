#include "tests/process/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/check.h"
#include "base/clock.h"

namespace phub::process {

namespace {

// In the child, before the program: system calls only.
bool move_to(const ChildPlace& place) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (place.network >= 0 && ::setns(place.network, CLONE_NEWNET) != 0) return false;
  if (place.hidden_folder.empty()) return true;
  return ::unshare(CLONE_NEWNS) == 0 &&
         ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("none", place.hidden_folder.c_str(), "tmpfs", 0, nullptr) == 0;
}

}  // namespace

Child::Child(const std::vector<std::string>& argv, const ChildPlace& place) {
  int ends[2];
  PHUB_CHECK(::pipe2(ends, O_CLOEXEC) == 0);
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_ = ::fork();
  PHUB_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    if (!move_to(place)) ::_exit(126);
    ::dup2(ends[1], STDOUT_FILENO);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  output_ = base::Fd(ends[0]);
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      output_(std::move(other.output_)),
      buffer_(std::move(other.buffer_)) {}

Child::~Child() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Child::signal(int number) const {
  PHUB_CHECK(pid_ > 0);  // kill(-1) would reach every process there is.
  ::kill(pid_, number);
}

std::optional<std::string> Child::wait_line(const std::string& prefix,
                                            std::chrono::milliseconds patience) {
  const base::Instant deadline = base::now() + patience;
  while (true) {
    for (size_t end = buffer_.find('\n'); end != std::string::npos; end = buffer_.find('\n')) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      if (line.starts_with(prefix)) return line;
    }
    const int64_t left_ms = (deadline - base::now()).count() / 1'000'000;
    pollfd waited{output_.get(), POLLIN, 0};
    if (left_ms <= 0 || ::poll(&waited, 1, static_cast<int>(left_ms)) <= 0) return std::nullopt;
    char bytes[4096];
    const ssize_t count = ::read(output_.get(), bytes, sizeof(bytes));
    if (count <= 0) return std::nullopt;
    buffer_.append(bytes, static_cast<size_t>(count));
  }
}

std::optional<int> Child::wait_exit(std::chrono::milliseconds patience) {
  const base::Instant deadline = base::now() + patience;
  while (base::now() < deadline) {
    int status = 0;
    const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
    if (ended == pid_) {
      pid_ = -1;
      return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return std::nullopt;
}

}  // namespace phub::process
