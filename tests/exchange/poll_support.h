// Waiting for descriptors in tests: on a condition, never for a time.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "exchange/session_stream.h"

namespace phub::exchange {

constexpr std::chrono::seconds kPatience{20};  // Far beyond any wait that ends well.

inline std::pair<base::Fd, base::Fd> make_socket_pair() {
  int fds[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return {};
  return {base::Fd(fds[0]), base::Fd(fds[1])};
}

// Whether `fd` becomes ready for `events` before patience runs out.
inline bool wait_for(int fd, short events) {
  pollfd wait{fd, events, 0};
  return ::poll(&wait, 1, static_cast<int>(kPatience.count()) * 1000) == 1;
}

// Reads until `count` messages are there or the stream is over.
inline Status read_until(SessionStream& stream, size_t count, std::vector<Message>& messages) {
  while (messages.size() < count) {
    if (!wait_for(stream.fd(), POLLIN)) return Status(Code::timed_out, "nothing came");
    const Status status = stream.read(messages);
    if (!status.ok()) return status;
  }
  return {};
}

}  // namespace phub::exchange
