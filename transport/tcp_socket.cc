#include "transport/tcp_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/local_address.h"
#include "base/try.h"
#include "transport/tcp_advice.h"

namespace phub::transport {
namespace {

constexpr int kBacklog = 4096;                // The kernel takes its own limit if that is less.
constexpr int kUnackedMilliseconds = 10'000;  // Then a peer without answers counts as gone.
constexpr int kKeepAliveSeconds = 5;

void set(int socket, int level, int name, int value) {
  ::setsockopt(socket, level, name, &value, sizeof(value));
}

// Small frames leave at once, and a host that is gone is noticed without traffic.
void set_options(int socket) {
  set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, kUnackedMilliseconds);
  set(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(socket, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveSeconds);
  set(socket, IPPROTO_TCP, TCP_KEEPINTVL, 1);
}

Result<base::Fd> make_socket(int family) {
  base::Fd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.valid()) return socket;
  return Status(Code::resource_exhausted, "create a TCP socket: " + base::errno_text());
}

uint16_t port_of(int socket) {
  SocketAddress address;
  address.bytes = sizeof(address.storage);
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address.storage), &address.bytes);
  if (address.storage.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);
}

Status cannot_listen(const base::HostPort& address, int error) {
  const std::string what = "listen on " + base::to_text(address) + ": " + base::errno_text();
  if (error == EADDRINUSE) return Status(Code::already_exists, what);
  if (error != EADDRNOTAVAIL) return Status(Code::unavailable, what);
  return Status(Code::unavailable,
                what + "; this machine has " + base::to_text(base::local_addresses()));
}

}  // namespace

Result<std::vector<SocketAddress>> resolve(const base::HostPort& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error =
      ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (error != 0) {
    return Status(Code::not_found, "no host \"" + address.host + "\": " + ::gai_strerror(error) +
                                       "; check the spelling, /etc/hosts and this machine's DNS");
  }
  std::vector<SocketAddress> addresses;
  for (const addrinfo* item = found; item != nullptr; item = item->ai_next) {
    SocketAddress one;
    std::memcpy(&one.storage, item->ai_addr, item->ai_addrlen);
    one.bytes = item->ai_addrlen;
    addresses.push_back(one);
  }
  ::freeaddrinfo(found);
  return addresses;
}

std::string host_text(const SocketAddress& address) {
  std::array<char, NI_MAXHOST> host{};
  const int error =
      ::getnameinfo(reinterpret_cast<const sockaddr*>(&address.storage), address.bytes, host.data(),
                    host.size(), nullptr, 0, NI_NUMERICHOST);
  return error == 0 ? host.data() : "an unknown address";
}

std::string to_text(const SocketAddress& address) {
  // Both families have the port at the same place.
  const auto& any = reinterpret_cast<const sockaddr_in&>(address.storage);
  return base::to_text({host_text(address), ntohs(any.sin_port)});
}

SocketAddress peer_of(int socket) {
  SocketAddress address;
  address.bytes = sizeof(address.storage);
  const int error =
      ::getpeername(socket, reinterpret_cast<sockaddr*>(&address.storage), &address.bytes);
  return error == 0 ? address : SocketAddress();
}

Result<base::Fd> listen_tcp(const base::HostPort& address, base::HostPort* bound) {
  PHUB_TRY_ASSIGN(const std::vector<SocketAddress> addresses, resolve(address));
  PHUB_TRY_ASSIGN(base::Fd socket, make_socket(addresses.front().storage.ss_family));
  set(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  const auto* const where = reinterpret_cast<const sockaddr*>(&addresses.front().storage);
  if (::bind(socket.get(), where, addresses.front().bytes) != 0) {
    return cannot_listen(address, errno);
  }
  if (::listen(socket.get(), kBacklog) != 0) return cannot_listen(address, errno);
  *bound = {address.host, port_of(socket.get())};
  return socket;
}

Result<base::Fd> accept_tcp(int listener) {
  base::Fd socket(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.valid()) {
    set_options(socket.get());
    return socket;
  }
  if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
    return Status(Code::resource_exhausted, "accept a connection: " + base::errno_text());
  }
  return base::Fd();  // Nobody there, or it came and went.
}

Result<base::Fd> start_connect(const SocketAddress& address) {
  PHUB_TRY_ASSIGN(base::Fd socket, make_socket(address.storage.ss_family));
  set_options(socket.get());
  const auto* const where = reinterpret_cast<const sockaddr*>(&address.storage);
  if (::connect(socket.get(), where, address.bytes) != 0 && errno != EINPROGRESS &&
      errno != EINTR) {
    return Status(Code::unavailable, describe_connect_error(errno, address));
  }
  return socket;
}

Status connect_error(int socket, const SocketAddress& address) {
  int error = 0;
  socklen_t bytes = sizeof(error);
  ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &bytes);
  return error == 0 ? Status() : Status(Code::unavailable, describe_connect_error(error, address));
}

Result<base::Fd> connect_tcp(const base::HostPort& address, base::Instant deadline) {
  PHUB_TRY_ASSIGN(const std::vector<SocketAddress> addresses, resolve(address));
  Status failure;
  for (const SocketAddress& one : addresses) {
    Result<base::Fd> socket = start_connect(one);
    failure = socket.status();
    if (!socket.ok()) continue;
    pollfd writable = {socket->get(), POLLOUT, 0};
    const int64_t left_ms = (deadline - base::now()).count() / 1'000'000;
    const int timeout_ms = static_cast<int>(std::clamp<int64_t>(left_ms, 0, 1'000'000'000));
    if (::poll(&writable, 1, timeout_ms) <= 0) {
      failure = Status(Code::timed_out, "connect to " + to_text(one) +
                                            ": no answer in time: is the host up, is a firewall "
                                            "between, or is the address wrong?");
      continue;
    }
    failure = connect_error(socket->get(), one);
    if (failure.ok()) return socket;
  }
  return failure;
}

}  // namespace phub::transport
