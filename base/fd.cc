#include "base/fd.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace phub::base {

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Fd> Fd::duplicate() const {
  const int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return Status(Code::internal, "duplicate descriptor: " + errno_text());
  return Fd(copy);
}

Result<Fd> make_event_fd() {
  Fd fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!fd.valid()) return Status(Code::internal, "create eventfd: " + errno_text());
  return fd;
}

void signal_event(int fd) {
  const uint64_t one = 1;
  // Full (EAGAIN) is as good as written: the reader will wake. Nothing else can be done here.
  [[maybe_unused]] const ssize_t written = ::write(fd, &one, sizeof(one));
}

void drain_event(int fd) {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = ::read(fd, &count, sizeof(count));
}

std::string errno_text() {
  const int error = errno;
  return std::string(std::strerror(error)) + " (" + std::to_string(error) + ")";
}

}  // namespace phub::base
