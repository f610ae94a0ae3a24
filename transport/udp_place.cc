// Addresses of UDP wires: in bootstraps, in texts.
#include <arpa/inet.h>

#include <algorithm>
#include <cstdio>

#include "base/byte_codec.h"
#include "transport/udp_packet.h"

namespace phub::transport {
namespace {
constexpr std::array<std::byte, 12> kMappedFront = {
    std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0},    std::byte{0},
    std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0xff}, std::byte{0xff}};
}  // namespace

bool UdpPlace::is_ipv4() const {
  return std::equal(kMappedFront.begin(), kMappedFront.end(), ip.begin());
}

UdpPlace place_of(const WireAddress& address) {
  base::ByteReader reader(address.bytes);
  UdpPlace place;
  const auto take = [&reader](auto& to) {
    const std::span<const std::byte> from = reader.raw(to.size());
    std::copy(from.begin(), from.end(), to.begin());
  };
  take(place.mac);
  take(place.ip);
  place.port = reader.number<uint16_t>();
  place.queue = reader.number<uint16_t>();
  place.queue_count = reader.number<uint16_t>();
  return place;
}

WireAddress to_address(const UdpPlace& place) {
  WireAddress address;
  base::ByteWriter writer(address.bytes);
  writer.raw(place.mac);
  writer.raw(place.ip);
  writer.number(place.port);
  writer.number(place.queue);
  writer.number(place.queue_count);
  return address;
}

std::string to_text(const UdpPlace& place) {
  std::array<char, INET6_ADDRSTRLEN> ip{};
  const bool is_ipv4 = place.is_ipv4();
  ::inet_ntop(is_ipv4 ? AF_INET : AF_INET6, place.ip.data() + (is_ipv4 ? 12 : 0), ip.data(),
              ip.size());
  std::array<char, 18> mac{};
  const auto at = [&place](size_t i) { return static_cast<unsigned>(place.mac[i]); };
  std::snprintf(mac.data(), mac.size(), "%02x:%02x:%02x:%02x:%02x:%02x", at(0), at(1), at(2), at(3),
                at(4), at(5));
  const std::string host = is_ipv4 ? ip.data() : "[" + std::string(ip.data()) + "]";
  return host + ":" + std::to_string(place.port) + " (" + mac.data() + ")";
}

std::optional<std::array<std::byte, 16>> parse_ip(const std::string& text) {
  std::array<std::byte, 16> ip{};
  if (::inet_pton(AF_INET6, text.c_str(), ip.data()) == 1) return ip;
  std::copy(kMappedFront.begin(), kMappedFront.end(), ip.begin());
  if (::inet_pton(AF_INET, text.c_str(), ip.data() + 12) == 1) return ip;
  return std::nullopt;
}

std::array<std::byte, 16> link_local_ip(const std::array<std::byte, 6>& mac) {
  std::array<std::byte, 16> ip{std::byte{0xfe}, std::byte{0x80}};
  ip[8] = mac[0] ^ std::byte{0x02};
  ip[9] = mac[1];
  ip[10] = mac[2];
  ip[11] = std::byte{'P'};
  ip[12] = std::byte{'H'};
  ip[13] = mac[3];
  ip[14] = mac[4];
  ip[15] = mac[5];
  return ip;
}

}  // namespace phub::transport
