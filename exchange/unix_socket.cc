// Making and accepting the Unix sockets that sessions run on (session_stream.h).
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/try.h"
#include "exchange/session_stream.h"

namespace phub::exchange {
namespace {

constexpr uid_t kNoOwner = static_cast<uid_t>(-1);  // Stays as it is.
constexpr int kBacklog = 1024;  // A job of the largest size may connect at once.

Result<sockaddr_un> make_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return Status(Code::invalid_argument, "socket path \"" + path + "\" has " +
                                              std::to_string(path.size()) +
                                              " bytes; use 1 to 107, for example /tmp/phub.sock");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<base::Fd> make_socket() {
  base::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.valid()) return socket;
  return Status(Code::resource_exhausted, "create a Unix socket: " + base::errno_text());
}

int connect_to(int socket, const sockaddr_un& address) {
  return ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

Status make_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0 && ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0) return {};
  return Status(Code::internal, "make a socket nonblocking: " + base::errno_text());
}

// Removes a socket file that nobody listens on; ok if there is no file.
Status remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat file;
  if (::lstat(path.c_str(), &file) != 0) return {};
  if (!S_ISSOCK(file.st_mode)) {
    return Status(Code::already_exists, "listen on " + path + ": the file exists and is not a " +
                                            "socket; remove it or choose another path");
  }
  PHUB_TRY_ASSIGN(const base::Fd probe, make_socket());
  PHUB_TRY(make_nonblocking(probe.get()));
  if (connect_to(probe.get(), address) == 0 || errno != ECONNREFUSED) {
    return Status(Code::already_exists,
                  "listen on " + path + ": another process listens there; choose another path");
  }
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return Status(Code::permission_denied,
                "listen on " + path + ": remove the stale socket: " + base::errno_text());
}

}  // namespace

Result<base::Fd> connect_unix(const std::string& path, base::Instant deadline) {
  PHUB_TRY_ASSIGN(const sockaddr_un address, make_address(path));
  PHUB_TRY_ASSIGN(base::Fd socket, make_socket());
  // A blocking connect waits while the listener's backlog is full, at most SO_SNDTIMEO. Zero would
  // mean for ever.
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(deadline - base::now());
  const int64_t wait_us = std::max<int64_t>(left.count(), 1);
  const timeval limit{wait_us / 1'000'000, wait_us % 1'000'000};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));

  int result = 0;
  do {
    result = connect_to(socket.get(), address);
  } while (result != 0 && errno == EINTR && base::now() < deadline);
  if (result == 0) {
    PHUB_TRY(make_nonblocking(socket.get()));
    return socket;
  }
  const std::string what = "connect to " + path + ": ";
  switch (errno) {
    case EAGAIN:
    case EINTR:
      return Status(Code::timed_out, what + "the hub does not accept connections in time");
    case EACCES:
    case EPERM:
      return Status(Code::permission_denied,
                    what + base::errno_text() +
                        "; join the group of the socket (phub, where the hub is a service), or "
                        "start the hub with another socket_mode");
    case ENOENT:
    case ECONNREFUSED:
      return Status(Code::unavailable,
                    what + "no hub listens there: " + base::errno_text() + "; start phubd first");
    default:
      return Status(Code::unavailable, what + base::errno_text());
  }
}

Result<base::Fd> listen_unix(const std::string& path, SocketAccess access) {
  PHUB_TRY_ASSIGN(const sockaddr_un address, make_address(path));
  PHUB_TRY(remove_stale(path, address));
  PHUB_TRY_ASSIGN(base::Fd socket, make_socket());
  PHUB_TRY(make_nonblocking(socket.get()));
  // The file takes the socket's mode (less the umask): the owner's only until the group is right.
  ::fchmod(socket.get(), 0600);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const Code code = errno == EADDRINUSE ? Code::already_exists : Code::permission_denied;
    return Status(code, "listen on " + path + ": " + base::errno_text());
  }
  if (access.group != kNoGroup && ::chown(path.c_str(), kNoOwner, access.group) != 0) {
    const Status status(Code::permission_denied,
                        "listen on " + path + ": give it to group " + std::to_string(access.group) +
                            ": " + base::errno_text() + "; the hub's user must belong to it");
    ::unlink(path.c_str());
    return status;
  }
  if (::chmod(path.c_str(), access.mode) != 0 || ::listen(socket.get(), kBacklog) != 0) {
    return Status(Code::internal, "listen on " + path + ": " + base::errno_text());
  }
  return socket;
}

Result<Peer> accept_unix(int listener) {
  Peer peer;
  peer.socket = base::Fd(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!peer.socket.valid()) {
    // ECONNABORTED: it came and went.
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ECONNABORTED) {
      return peer;
    }
    return Status(Code::resource_exhausted, "accept a connection: " + base::errno_text());
  }
  ucred credentials{};
  socklen_t bytes = sizeof(credentials);
  if (::getsockopt(peer.socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0) {
    return Status(Code::internal, "read a peer's credentials: " + base::errno_text());
  }
  peer.process = credentials.pid;
  peer.user = credentials.uid;
  return peer;
}

}  // namespace phub::exchange
