// An owned file descriptor, and an eventfd built on it.
#pragma once

#include <phub/status.h>

#include <string>
#include <utility>

namespace phub::base {

// Closes on destruction. -1 is "none".
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  // A second descriptor of the same file. internal: the process is out of descriptors.
  Result<Fd> duplicate() const;

 private:
  int fd_ = -1;
};

// A nonblocking eventfd: `signal` from any thread or process wakes whoever polls the descriptor.
Result<Fd> make_event_fd();
void signal_event(int fd);
void drain_event(int fd);

// "Permission denied (13)" for the current errno.
std::string errno_text();

}  // namespace phub::base
