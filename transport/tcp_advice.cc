#include "transport/tcp_advice.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>

#include "base/fd.h"
#include "base/local_address.h"

namespace phub::transport {
namespace {

std::string advice(int error, const SocketAddress& address) {
  switch (error) {
    case ECONNREFUSED:
      return "the host is there, but nothing listens at this port: is phubd running, and is this "
             "address in its `listen`?";
    case EHOSTUNREACH:
    case EHOSTDOWN:
      return "no host answers at this address: check the address, the cable and the host";
    case ENETUNREACH:
      return "this machine has no route to this address: check its interfaces and `ip route`";
    case ETIMEDOUT:
      return "the host does not answer: is it up, and is a firewall between?";
    case EACCES:
    case EPERM:
      return "a firewall of this machine forbids it";
    case EADDRNOTAVAIL:
      return "this machine has no free port, or no address of this kind";
    case EINVAL:
      if (address.storage.ss_family == AF_INET6) {
        return "a link-local address needs its interface: write [fe80::1%eth0]:7077";
      }
      break;
    default:
      break;
  }
  return "is phubd running there?";
}

bool is_loopback(const SocketAddress& address) {
  if (address.storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address.storage);
    return (ntohl(v4.sin_addr.s_addr) >> 24) == 127;
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
  return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) != 0;
}

bool is_this_machine(const std::string& host) {
  const auto addresses = resolve({host, 0});
  if (!addresses.ok()) return false;
  const std::vector<base::LocalAddress> machine = base::local_addresses();
  return std::any_of(addresses->begin(), addresses->end(), [&](const SocketAddress& address) {
    return base::is_own_address(host_text(address), machine);
  });
}

}  // namespace

std::string describe_connect_error(int error, const SocketAddress& address) {
  errno = error;
  return "connect to " + to_text(address) + ": " + base::errno_text() + ": " +
         advice(error, address);
}

std::string describe_link_failure(const std::string& failure) {
  return "link to a shard of the hub, which listens at a port of its own: " + failure +
         "; the session to the hub stands, so a firewall may be open for the hub's port only: give "
         "the hub a port_range and open that, or set `advertise` if the address is wrong";
}

bool is_loopback_host(const std::string& host) {
  if (host.empty()) return false;
  const auto addresses = resolve({host, 0});
  return addresses.ok() && std::all_of(addresses->begin(), addresses->end(), is_loopback);
}

Status check_offered_host(std::string_view offered, const std::vector<SocketAddress>& addresses,
                          const std::string& hub_host) {
  const bool is_here = std::all_of(addresses.begin(), addresses.end(), is_loopback);
  if (!is_here || hub_host.empty() || is_this_machine(hub_host)) return {};
  return Status(Code::invalid_argument,
                "the hub at " + hub_host + " tells its workers to connect to \"" +
                    std::string(offered) +
                    "\", which is the loopback of this machine, not the hub's; set `advertise` of "
                    "phubd to an address that workers can reach, or leave it out");
}

}  // namespace phub::transport
