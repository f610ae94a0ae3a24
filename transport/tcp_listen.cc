#include "transport/tcp_listen.h"

#include <sys/socket.h>

#include <cerrno>
#include <optional>

#include "base/try.h"
#include "transport/tcp_socket.h"

namespace phub::transport {
namespace {

constexpr int kAnyPortTries = 16;  // For several hosts at one port that the kernel chose.

std::string hosts_text(const TcpDoor& door) {
  std::string text;
  for (const std::string& host : door.hosts) text += (text.empty() ? "" : ", ") + host;
  return text;
}

// Every host at this port; nothing: the port is taken on one of them.
Result<std::optional<std::vector<base::Fd>>> listen_at(const TcpDoor& door, uint16_t* port) {
  std::vector<base::Fd> listeners;
  for (const std::string& host : door.hosts) {
    base::HostPort bound;
    Result<base::Fd> listener = listen_tcp({host, *port}, &bound);
    if (!listener.ok()) {
      if (listener.status().code() == Code::already_exists) {
        return std::optional<std::vector<base::Fd>>();
      }
      return listener.status();
    }
    *port = bound.port;
    listeners.push_back(std::move(listener).value());
  }
  return std::make_optional(std::move(listeners));
}

}  // namespace

Result<base::Fd> listen_at_port(const base::HostPort& address, base::HostPort* bound) {
  Result<base::Fd> listener = listen_tcp(address, bound);
  if (listener.ok() || listener.status().code() != Code::already_exists) return listener;
  return Status(Code::already_exists, listener.status().message() + " by " +
                                          describe_port_holders(address.port, address.port) +
                                          "; stop it, or choose another port");
}

Result<std::vector<base::Fd>> listen_at_door(const TcpDoor& door, uint16_t* port) {
  const bool is_any = door.port_first == 0;
  const int tries = is_any ? kAnyPortTries : door.port_last - door.port_first + 1;
  for (int i = 0; i < tries; ++i) {
    *port = is_any ? uint16_t{0} : static_cast<uint16_t>(door.port_first + i);
    PHUB_TRY_ASSIGN(std::optional<std::vector<base::Fd>> listeners, listen_at(door, port));
    if (listeners.has_value()) return *std::move(listeners);
  }
  const std::string what = "listen on " + hosts_text(door) + ": ";
  if (is_any) {
    return Status(Code::unavailable, what + "no port is free on all of these addresses, after " +
                                         std::to_string(tries) + " tries");
  }
  return Status(Code::unavailable,
                what + "all " + std::to_string(tries) + " ports from " +
                    std::to_string(door.port_first) + " to " + std::to_string(door.port_last) +
                    " are taken, by " + describe_port_holders(door.port_first, door.port_last) +
                    "; each shard needs one: widen port_range, or stop what holds them");
}

}  // namespace phub::transport
