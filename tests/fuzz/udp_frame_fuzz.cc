// Goal: whatever comes off a network, parse_frame and parse_packet read nothing beyond its end, and
// what they find lies within. Method: the input is a frame; it is read as it is, and as a device
// would vouch for it, which lets more of it through to the packet inside.
#include <algorithm>
#include <cstdint>
#include <memory>

#include "base/check.h"
#include "transport/datagram_packet.h"
#include "transport/udp_packet.h"

namespace {

using namespace phub::transport;

void read(std::span<const std::byte> frame, const FrameChecks& checks) {
  const std::optional<Frame> parsed = parse_frame(frame, checks);
  if (!parsed) return;
  const std::byte* const begin = parsed->payload.data();
  PHUB_CHECK(begin >= frame.data() + kEthernetBytes + kIpv4Bytes + kUdpBytes + kTailBytes);
  PHUB_CHECK(begin + parsed->payload.size() <= frame.data() + frame.size());
  PHUB_CHECK(place_of(to_address(parsed->from)) == parsed->from);
  const std::optional<Packet> packet = parse_packet(parsed->payload);
  if (!packet) return;
  std::span<const std::byte> rest = packet->fragments;
  while (const std::optional<Fragment> fragment = next_fragment(rest)) {
    PHUB_CHECK(uint64_t{fragment->offset} + fragment->bytes.size() <= fragment->total);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A block of its own: the address sanitizer sees a byte too far.
  const auto copy = std::make_unique<std::byte[]>(size);
  std::copy_n(reinterpret_cast<const std::byte*>(data), size, copy.get());
  const std::span<const std::byte> frame(copy.get(), size);
  read(frame, {});
  read(frame, {.device_checked_ip = true, .device_checked_udp = true});
  return 0;
}
