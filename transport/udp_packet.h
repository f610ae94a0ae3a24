// Ethernet frames with UDP over IPv4 or IPv6, as a kernel-bypass wire sends and reads them.
//
//   Ethernet 14 | IPv4 20 or IPv6 40 | UDP 8 | tail 8 | a packet of transport/datagram
//
// The tail says where answers go: source ports are there for the network's hashing, one per flow,
// so they are nobody's address. Plain code over bytes, no device: parse_frame() takes whatever
// comes off a network.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "transport/wire.h"

namespace phub::transport {

// One queue of one machine's device. A WireAddress holds exactly this.
struct UdpPlace {
  std::array<std::byte, 6> mac{};
  std::array<std::byte, 16> ip{};  // IPv4 as ::ffff:a.b.c.d.
  uint16_t port = 0;               // Where it receives: the first queue's port + queue.
  uint16_t queue = 0;
  uint16_t queue_count = 1;  // Of the device: where queue i meets the peer's queue i.
  bool operator==(const UdpPlace&) const = default;
  bool is_ipv4() const;
};
UdpPlace place_of(const WireAddress& address);
WireAddress to_address(const UdpPlace& place);
std::string to_text(const UdpPlace& place);
// "10.0.0.7", "fd00::7". Nothing: not an address.
std::optional<std::array<std::byte, 16>> parse_ip(const std::string& text);
// fe80:: and the MAC address; not the kernel's for that address, which has ff:fe in its middle.
std::array<std::byte, 16> link_local_ip(const std::array<std::byte, 6>& mac);

constexpr size_t kEthernetBytes = 14;
constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kUdpBytes = 8;
constexpr size_t kTailBytes = 8;
constexpr size_t kFrameHeadBytesMax = kEthernetBytes + kIpv6Bytes + kUdpBytes + kTailBytes;

// All that stands before the payload.
size_t frame_head_bytes(const UdpPlace& from);

// Writes the head into the front of `frame`, whose end is the payload's end but for options.rest,
// with valid checksums.
// `to` must be of the family of `from`.
struct FrameOptions {
  uint16_t source_port = 0;
  bool device_sums_ip = false;           // Leave the IPv4 checksum 0.
  bool device_sums_udp = false;          // Leave the pseudo header's sum in the UDP checksum.
  std::span<const std::byte> rest = {};  // The payload's end, where it does not follow in `frame`.
};
void write_frame_head(const UdpPlace& from, const UdpPlace& to, const FrameOptions& options,
                      std::span<std::byte> frame);

struct Frame {
  UdpPlace from;
  std::array<std::byte, 6> to_mac{};
  std::array<std::byte, 16> to_ip{};
  uint16_t to_port = 0;
  bool is_marked = false;  // A switch saw congestion: ECN's CE.
  std::span<const std::byte> payload;
};
// Nothing: another protocol, cut short, a fragment of IP, or a wrong checksum. What the device has
// summed need not be summed again.
struct FrameChecks {
  bool device_checked_ip = false;
  bool device_checked_udp = false;
};
std::optional<Frame> parse_frame(std::span<const std::byte> frame, const FrameChecks& checks);

// The Internet's sum of 16-bit words in memory order, not folded. Odd ends count as if padded.
uint64_t internet_sum(std::span<const std::byte> bytes);

}  // namespace phub::transport
