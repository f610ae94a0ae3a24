// Goal: frames of a UDP wire are valid for whoever looks, come back as they were written, and
// nothing else is taken for one.
// Method: round trips over sizes and families; checksums against a sum written down the obvious
// way; every flipped bit and every truncation; addresses as text.
#include "transport/udp_packet.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"

namespace phub::transport {
namespace {

UdpPlace place(const std::string& ip, uint16_t port) {
  UdpPlace result{.ip = *parse_ip(ip), .port = port, .queue = 3, .queue_count = 8};
  for (size_t i = 0; i < 6; ++i) result.mac[i] = static_cast<std::byte>(port + i);
  return result;
}

struct Pair {
  UdpPlace from;
  UdpPlace to;
};
const Pair kPairs[] = {{place("10.0.0.1", 7171), place("10.0.0.2", 7174)},
                       {place("fd00::1", 7171), place("fe80::1:2", 9000)}};

std::vector<std::byte> make_frame(const Pair& pair, size_t payload_bytes,
                                  const FrameOptions& options = {.source_port = 50'000}) {
  base::Random random(payload_bytes);
  std::vector<std::byte> frame(frame_head_bytes(pair.from) + payload_bytes);
  for (std::byte& b : frame) b = static_cast<std::byte>(random.next());
  write_frame_head(pair.from, pair.to, options, frame);
  return frame;
}

// RFC 1071, as it says.
uint16_t obvious_sum(std::span<const std::byte> bytes, uint32_t sum = 0) {
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<uint32_t>(bytes[i]) << 8;
    if (i + 1 < bytes.size()) sum += static_cast<uint32_t>(bytes[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(sum);
}

TEST(UdpPacketTest, FramesComeBackAsTheyWereWritten) {
  for (const Pair& pair : kPairs) {
    for (const size_t bytes : {0u, 1u, 2u, 3u, 46u, 1'000u, 8'999u, 60'001u}) {
      const std::vector<std::byte> frame = make_frame(pair, bytes);
      const std::optional<Frame> read = parse_frame(frame, {});
      ASSERT_TRUE(read.has_value()) << bytes;
      EXPECT_EQ(read->from, pair.from);
      EXPECT_EQ(read->to_mac, pair.to.mac);
      EXPECT_EQ(read->to_ip, pair.to.ip);
      EXPECT_EQ(read->to_port, pair.to.port);
      EXPECT_FALSE(read->is_marked);
      ASSERT_EQ(read->payload.size(), bytes);
      EXPECT_EQ(read->payload.data(), frame.data() + frame.size() - bytes);
    }
  }
}

TEST(UdpPacketTest, ChecksumsAreTheInternets) {
  for (size_t bytes = 0; bytes < 200; ++bytes) {
    const std::vector<std::byte> four = make_frame(kPairs[0], bytes);
    const std::span<const std::byte> ip = std::span(four).subspan(kEthernetBytes);
    EXPECT_EQ(obvious_sum(ip.first(kIpv4Bytes)), 0xffff);
    const auto length = static_cast<uint32_t>(ip.size() - kIpv4Bytes);
    const uint32_t pseudo = obvious_sum(ip.subspan(12, 8)) + 17 + length;
    EXPECT_EQ(obvious_sum(ip.subspan(kIpv4Bytes), pseudo), 0xffff) << bytes;
    const std::vector<std::byte> six = make_frame(kPairs[1], bytes);
    const std::span<const std::byte> ip6 = std::span(six).subspan(kEthernetBytes);
    const uint32_t pseudo6 =
        obvious_sum(ip6.subspan(8, 32)) + 17 + static_cast<uint32_t>(ip6.size() - kIpv6Bytes);
    EXPECT_EQ(obvious_sum(ip6.subspan(kIpv6Bytes), pseudo6), 0xffff) << bytes;
  }
}

TEST(UdpPacketTest, RestThatLiesElsewhereMakesTheSameFrame) {
  for (const Pair& pair : kPairs) {
    for (const size_t rest_bytes : {0u, 1u, 2u, 50u, 100u}) {
      for (const size_t bytes : {100u, 101u}) {
        const std::vector<std::byte> whole = make_frame(pair, bytes);
        const std::vector<std::byte> rest(whole.end() - static_cast<long>(rest_bytes), whole.end());
        std::vector<std::byte> frame = whole;
        std::fill_n(frame.begin(), frame_head_bytes(pair.from), std::byte{0});
        const FrameOptions options{.source_port = 50'000, .rest = rest};
        write_frame_head(pair.from, pair.to, options,
                         std::span(frame).first(frame.size() - rest_bytes));
        EXPECT_EQ(frame, whole) << bytes << " bytes, " << rest_bytes << " of them elsewhere";
      }
    }
  }
}

TEST(UdpPacketTest, NoFlippedBitOfIpAndUdpPasses) {
  for (const Pair& pair : kPairs) {
    std::vector<std::byte> frame = make_frame(pair, 100);
    const size_t first = kEthernetBytes;
    for (size_t bit = first * 8; bit < frame.size() * 8; ++bit) {
      // IPv6 has no checksum of its own: traffic class, flow label and hops are the network's.
      const size_t at = bit / 8 - first;
      if (!pair.from.is_ipv4() && (at < 4 || at == 7)) continue;
      frame[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
      EXPECT_FALSE(parse_frame(frame, {}).has_value()) << bit;
      frame[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    }
    EXPECT_TRUE(parse_frame(frame, {}).has_value());
  }
}

TEST(UdpPacketTest, CutFramesAreRefusedAndPaddedOnesAreNot) {
  for (const Pair& pair : kPairs) {
    std::vector<std::byte> frame = make_frame(pair, 10);
    for (size_t bytes = 0; bytes < frame.size(); ++bytes) {
      const std::vector<std::byte> cut(frame.begin(), frame.begin() + static_cast<long>(bytes));
      EXPECT_FALSE(parse_frame(cut, {.device_checked_ip = true, .device_checked_udp = true}));
    }
    frame.resize(frame.size() + 20);  // Ethernet's shortest frame is longer than some packets.
    const std::optional<Frame> read = parse_frame(frame, {});
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->payload.size(), 10u);
  }
}

TEST(UdpPacketTest, MarkOfCongestionIsSeen) {
  std::vector<std::byte> four = make_frame(kPairs[0], 10);
  four[kEthernetBytes + 1] |= std::byte{3};
  const auto read = parse_frame(four, {.device_checked_ip = true});
  ASSERT_TRUE(read.has_value());
  EXPECT_TRUE(read->is_marked);
  std::vector<std::byte> six = make_frame(kPairs[1], 10);
  six[kEthernetBytes + 1] |= std::byte{0x30};
  EXPECT_TRUE(parse_frame(six, {}).value().is_marked);
}

TEST(UdpPacketTest, SumsLeftToTheDeviceCoverThePseudoHeader) {
  const std::vector<std::byte> frame =
      make_frame(kPairs[0], 99, {.device_sums_ip = true, .device_sums_udp = true});
  const std::span<const std::byte> ip = std::span(frame).subspan(kEthernetBytes);
  EXPECT_EQ(ip[10], std::byte{0});
  const auto length = static_cast<uint32_t>(ip.size() - kIpv4Bytes);
  const uint16_t pseudo = obvious_sum(ip.subspan(12, 8), 17 + length);
  EXPECT_EQ(
      static_cast<uint32_t>(ip[kIpv4Bytes + 6]) << 8 | static_cast<uint32_t>(ip[kIpv4Bytes + 7]),
      pseudo);
  EXPECT_TRUE(parse_frame(frame, {.device_checked_ip = true, .device_checked_udp = true}));
}

TEST(UdpPacketTest, PlacesFitIntoWireAddresses) {
  for (const Pair& pair : kPairs) EXPECT_EQ(place_of(to_address(pair.from)), pair.from);
  EXPECT_FALSE(parse_ip("10.0.0").has_value());
  EXPECT_FALSE(parse_ip("").has_value());
  EXPECT_TRUE(kPairs[0].from.is_ipv4());
  EXPECT_FALSE(kPairs[1].from.is_ipv4());
  EXPECT_EQ(to_text(place("10.0.0.1", 7171)), "10.0.0.1:7171 (03:04:05:06:07:08)");
  EXPECT_EQ(to_text(UdpPlace{.ip = link_local_ip({std::byte{2}}), .port = 1}),
            "[fe80::50:4800:0]:1 (00:00:00:00:00:00)");
}

}  // namespace
}  // namespace phub::transport
