#include "phub/doctor/hub_probe.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "exchange/address.h"
#include "exchange/probe.h"
#include "exchange/session_auth.h"
#include "transport/tcp_socket.h"

namespace phub::doctor {
namespace {

// Waits until the socket is ready; false: not by the deadline.
bool wait_for(int socket, short events, base::Instant deadline) {
  pollfd waited{socket, events, 0};
  const int64_t left_ms = (deadline - base::now()).count() / 1'000'000;
  return left_ms > 0 && ::poll(&waited, 1, static_cast<int>(left_ms)) > 0;
}

Reach reach_of(int error) {
  switch (error) {
    case ECONNREFUSED:
      return Reach::refused;
    case ENOENT:
      return Reach::no_socket;
    case EACCES:
    case EPERM:
      return Reach::denied;
    case ETIMEDOUT:
    case EAGAIN:  // A Unix listener whose queue is full.
      return Reach::timed_out;
    default:
      return Reach::unreachable;
  }
}

void fail(HubProbe& probe, int error) {
  probe.reach = reach_of(error);
  errno = error;
  probe.reason = base::errno_text();
}

// Connected, or not valid and the probe says why.
base::Fd connect_to(const sockaddr* address, socklen_t bytes, base::Instant deadline,
                    HubProbe& probe) {
  base::Fd fd(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) {
    fail(probe, errno);
    return {};
  }
  if (::connect(fd.get(), address, bytes) == 0) return fd;
  if (errno != EINPROGRESS) {
    fail(probe, errno);
    return {};
  }
  int error = ETIMEDOUT;
  socklen_t size = sizeof(error);
  if (wait_for(fd.get(), POLLOUT, deadline)) {
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error == 0) return fd;
  fail(probe, error);
  return {};
}

base::Fd connect_local(const std::string& path, base::Instant deadline, HubProbe& probe) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  probe.peer = path;
  if (path.size() >= sizeof(address.sun_path)) {
    fail(probe, ENAMETOOLONG);
    return {};
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return connect_to(reinterpret_cast<const sockaddr*>(&address), sizeof(address), deadline, probe);
}

base::Fd connect_remote(const base::HostPort& host, std::chrono::milliseconds patience,
                        HubProbe& probe) {
  const auto addresses = transport::resolve(host);
  if (!addresses.ok()) {
    probe.reach = Reach::unknown_host;
    probe.reason = addresses.status().message();
    return {};
  }
  for (const transport::SocketAddress& address : *addresses) {
    probe.peer = transport::to_text(address);
    base::Fd fd = connect_to(reinterpret_cast<const sockaddr*>(&address.storage), address.bytes,
                             base::now() + patience, probe);
    if (fd.valid()) return fd;
  }
  return {};
}

// Asks who is there, as a worker does that chooses its way (exchange/probe.h).
void greet(base::Fd socket, base::Instant deadline, HubProbe& probe) {
  const base::Instant begin = base::now();
  const auto answer = exchange::probe_hub(std::move(socket), exchange::make_nonce(), deadline);
  probe.greeting_us = static_cast<double>((base::now() - begin).count()) * 1e-3;
  if (!answer.ok()) {
    probe.reach = Reach::not_a_hub;
    probe.reason = answer.status().message();
    return;
  }
  probe.reach = Reach::greeted;  // A hub it is, also if it answers with a refusal.
  probe.hub = answer->probed.hub;
  probe.reason = answer->refusal.message();
}

// As parse_address, and the forms for which a worker asks over TCP.
Result<exchange::Address> address_of(const std::string& uri) {
  constexpr std::string_view kAuto = "auto://";
  if (uri.starts_with(kAuto)) return exchange::parse_address("tcp://" + uri.substr(kAuto.size()));
  const bool has_scheme = uri.find("://") != std::string::npos;
  return exchange::parse_address(has_scheme ? uri : "tcp://" + uri);
}

}  // namespace

HubProbe probe_hub(const std::string& uri, std::chrono::milliseconds patience) {
  HubProbe probe;
  probe.uri = uri;
  const Result<exchange::Address> address = address_of(uri);
  if (!address.ok()) {
    probe.reach = Reach::bad_address;
    probe.reason = address.status().message();
    return probe;
  }
  base::Fd socket = address->is_local()
                        ? connect_local(address->socket_path, base::now() + patience, probe)
                        : connect_remote(address->host_port, patience, probe);
  if (!socket.valid()) return probe;
  const auto copy = socket.duplicate();  // The path is asked after the greeting, which measured it.
  if (address->is_encrypted()) {
    probe.reach = Reach::not_greeted;
  } else {
    greet(std::move(socket), base::now() + patience, probe);
  }
  if (copy.ok() && !address->is_local()) probe_path(copy->get(), probe);
  return probe;
}

}  // namespace phub::doctor
