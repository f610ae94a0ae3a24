#include "transport/tcp_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/try.h"

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

Status cannot_listen(const base::HostPort& address, const std::string& why) {
  return Status(Code::unavailable, "listen on " + base::to_text(address) + ": " + why);
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
    return Status(Code::not_found, "host \"" + address.host + "\": " + ::gai_strerror(error));
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

std::string to_text(const SocketAddress& address) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address.storage), address.bytes, host.data(),
                    host.size(), port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "an unknown address";
  }
  return base::to_text({host.data(), static_cast<uint16_t>(std::atoi(port.data()))});
}

Result<base::Fd> listen_tcp(const base::HostPort& address, base::HostPort* bound) {
  PHUB_TRY_ASSIGN(const std::vector<SocketAddress> addresses, resolve(address));
  PHUB_TRY_ASSIGN(base::Fd socket, make_socket(addresses.front().storage.ss_family));
  set(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  const auto* const where = reinterpret_cast<const sockaddr*>(&addresses.front().storage);
  if (::bind(socket.get(), where, addresses.front().bytes) != 0) {
    return cannot_listen(
        address, base::errno_text() + (errno == EADDRINUSE ? "; choose another port"
                                                           : "; is the address this machine's?"));
  }
  if (::listen(socket.get(), kBacklog) != 0) return cannot_listen(address, base::errno_text());
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
    return Status(Code::unavailable, "connect to " + to_text(address) + ": " + base::errno_text());
  }
  return socket;
}

Status connect_error(int socket, const SocketAddress& address) {
  int error = 0;
  socklen_t bytes = sizeof(error);
  ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &bytes);
  if (error == 0) return {};
  errno = error;
  return Status(Code::unavailable, "connect to " + to_text(address) + ": " + base::errno_text());
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
      return Status(Code::timed_out, "connect to " + to_text(one) +
                                         ": no answer in time; is a firewall between, or the "
                                         "address wrong?");
    }
    failure = connect_error(socket->get(), one);
    if (failure.ok()) return socket;
  }
  return Status(failure.code(), failure.message() + "; is phubd running there?");
}

}  // namespace phub::transport
