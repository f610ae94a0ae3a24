#include "phub/doctor/hub_probe.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "exchange/address.h"
#include "exchange/session_auth.h"
#include "exchange/session_codec.h"
#include "exchange/session_stream.h"
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

// Says hello as rank 0 of a job that nobody has, and hears who is there.
void greet(base::Fd socket, const std::string& fabric, base::Instant deadline, HubProbe& probe) {
  exchange::SessionStream stream(std::move(socket), exchange::kFrameBytesBeforeAuth);
  exchange::Hello hello;
  hello.job.name = "phubctl-doctor";
  hello.job.rank_count = 1;
  hello.process = ::getpid();
  hello.host = "doctor";
  hello.fabric = fabric;
  hello.nonce = exchange::make_nonce();
  const base::Instant begin = base::now();
  stream.queue({std::move(hello), {}});
  probe.reach = Reach::not_a_hub;
  Status status = stream.write();
  std::vector<exchange::Message> messages;
  while (status.ok() && messages.empty()) {
    if (!wait_for(stream.fd(), POLLIN, deadline)) {
      probe.reason = "it accepts, but says nothing";
      return;
    }
    status = stream.read(messages);
  }
  if (messages.empty()) {
    probe.reason = status.message();
    return;
  }
  if (const auto* refusal = std::get_if<exchange::Failure>(&messages[0].body)) {
    probe.reach = Reach::greeted;  // A hub it is.
    probe.reason = refusal->message;
  } else if (const auto* challenge = std::get_if<exchange::Challenge>(&messages[0].body)) {
    probe.reach = Reach::greeted;
    probe.hub = challenge->hub;
  } else {
    probe.reason = "it answers a hello with something else";
  }
  probe.greeting_us = static_cast<double>((base::now() - begin).count()) * 1e-3;
}

}  // namespace

HubProbe probe_hub(const std::string& uri, std::chrono::milliseconds patience) {
  HubProbe probe;
  probe.uri = uri;
  const auto address = exchange::parse_address(uri);
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
  greet(std::move(socket), address->fabric, base::now() + patience, probe);
  if (copy.ok() && !address->is_local()) probe_path(copy->get(), probe);
  return probe;
}

}  // namespace phub::doctor
