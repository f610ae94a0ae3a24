#include "perf/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <thread>

#include "base/clock.h"
#include "base/try.h"

namespace phub::perf {
namespace {

// In the child, between fork and exec.
[[noreturn]] void become(char* const* argv, int output, const std::vector<int>& kept, int report) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (output >= 0) {
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
  }
  for (const int fd : kept) fcntl(fd, F_SETFD, 0);
  execvp(argv[0], argv);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(report, &error, sizeof(error));
  _exit(127);
}

}  // namespace

Result<Process> Process::start(const std::vector<std::string>& argv, int output,
                               const std::vector<int>& kept) {
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) {
    return Status(Code::resource_exhausted, "start " + argv[0] + ": pipe: " + base::errno_text());
  }
  const base::Fd reader(report[0]);
  base::Fd writer(report[1]);
  const pid_t id = fork();
  if (id < 0) {
    return Status(Code::resource_exhausted, "start " + argv[0] + ": fork: " + base::errno_text());
  }
  if (id == 0) become(words.data(), output, kept, writer.get());
  writer = base::Fd();
  int error = 0;
  if (read(reader.get(), &error, sizeof(error)) == sizeof(error)) {
    waitpid(id, nullptr, 0);
    return Status(Code::not_found, "start " + argv[0] + ": " + std::strerror(error));
  }
  return Process(id);
}

Process::Process(Process&& other) noexcept
    : id_(std::exchange(other.id_, -1)), status_(other.status_) {}

std::optional<int> Process::exit_status() {
  int status = 0;
  if (!status_ && id_ > 0 && waitpid(id_, &status, WNOHANG) == id_) {
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  return status_;
}

void Process::stop(std::chrono::milliseconds grace) {
  if (id_ <= 0 || exit_status()) return;
  kill(id_, SIGTERM);
  const base::Instant start = base::now();
  while (!exit_status() && base::now() - start < grace) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  if (exit_status()) return;
  kill(id_, SIGKILL);
  waitpid(id_, nullptr, 0);
  status_ = 128 + SIGKILL;
}

Result<base::Fd> make_output_file() {
  base::Fd fd(memfd_create("phub-perf-output", MFD_CLOEXEC));
  if (fd.valid()) return fd;
  return Status(Code::resource_exhausted, "output of children: " + base::errno_text());
}

std::string tail_of(const base::Fd& output, size_t bytes_max) {
  const off_t size = lseek(output.get(), 0, SEEK_END);
  if (size <= 0) return "";
  const size_t length = std::min<size_t>(bytes_max, static_cast<size_t>(size));
  std::string text(length, '\0');
  const ssize_t got = pread(output.get(), text.data(), length, size - static_cast<off_t>(length));
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

std::string program_folder() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  const std::string text(path, length > 0 ? static_cast<size_t>(length) : 0);
  return text.substr(0, text.rfind('/'));
}

}  // namespace phub::perf
