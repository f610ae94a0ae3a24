// The path to a hub: its MTU as the kernel knows it, and one datagram that nobody may cut.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "base/fd.h"
#include "phub/doctor/hub_probe.h"

namespace phub::doctor {
namespace {

constexpr int kAnswerMilliseconds = 300;
constexpr uint32_t kDatagramBytesMax = 65'535;  // Of any IP packet; loopback's MTU is one more.
constexpr uint32_t kUdpHeaderBytes = 8;

std::optional<uint32_t> option_of(int socket, int level, int name) {
  int value = 0;
  socklen_t bytes = sizeof(value);
  if (::getsockopt(socket, level, name, &value, &bytes) != 0 || value <= 0) return std::nullopt;
  return static_cast<uint32_t>(value);
}

std::optional<uint32_t> mtu_of(int socket, bool is_v6) {
  return is_v6 ? option_of(socket, IPPROTO_IPV6, IPV6_MTU) : option_of(socket, IPPROTO_IP, IP_MTU);
}

void forbid_fragments(int socket, bool is_v6) {
  const int level = is_v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  const int name = is_v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER;
  const int value = is_v6 ? IPV6_PMTUDISC_DO : IP_PMTUDISC_DO;
  ::setsockopt(socket, level, name, &value, sizeof(value));
}

// The kernel hands an ICMP answer to a connected socket as its error.
FullDatagram send_full(int socket, bool is_v6, uint32_t mtu) {
  const uint32_t headers = (is_v6 ? 40u : 20u) + kUdpHeaderBytes;
  if (mtu <= headers) return FullDatagram::not_sent;
  const std::vector<char> payload(std::min(mtu, kDatagramBytesMax) - headers);
  if (::send(socket, payload.data(), payload.size(), 0) < 0) {
    return errno == EMSGSIZE ? FullDatagram::too_big : FullDatagram::not_sent;
  }
  pollfd waited{socket, POLLIN, 0};
  if (::poll(&waited, 1, kAnswerMilliseconds) <= 0) return FullDatagram::silent;
  const uint32_t error = option_of(socket, SOL_SOCKET, SO_ERROR).value_or(0);
  if (error == ECONNREFUSED) return FullDatagram::arrived;
  return error == EMSGSIZE ? FullDatagram::too_big : FullDatagram::silent;
}

std::string own_address_of(int socket) {
  sockaddr_storage own{};
  socklen_t bytes = sizeof(own);
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &bytes) != 0) return "";
  const void* const address =
      own.ss_family == AF_INET6
          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6*>(&own)->sin6_addr)
          : static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(&own)->sin_addr);
  return ::inet_ntop(own.ss_family, address, text.data(), text.size()) == nullptr ? ""
                                                                                  : text.data();
}

}  // namespace

void probe_path(int socket, HubProbe& probe) {
  sockaddr_storage peer{};
  socklen_t bytes = sizeof(peer);
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &bytes) != 0) return;
  const bool is_v6 = peer.ss_family == AF_INET6;
  probe.own_address = own_address_of(socket);
  probe.path_mtu = mtu_of(socket, is_v6);
  probe.segment_bytes = option_of(socket, IPPROTO_TCP, TCP_MAXSEG);
  tcp_info info{};
  socklen_t info_bytes = sizeof(info);
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &info_bytes) == 0) {
    probe.round_trip_us = info.tcpi_rtt;
  }
  const base::Fd datagrams(::socket(peer.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!datagrams.valid() || !probe.path_mtu) return;
  forbid_fragments(datagrams.get(), is_v6);
  // The hub's own port: nobody listens on it for datagrams.
  if (::connect(datagrams.get(), reinterpret_cast<sockaddr*>(&peer), bytes) != 0) return;
  probe.full_datagram = send_full(datagrams.get(), is_v6, *probe.path_mtu);
  if (probe.full_datagram == FullDatagram::too_big) {
    probe.path_mtu = mtu_of(datagrams.get(), is_v6);
  }
}

}  // namespace phub::doctor
