// Goal: what is encoded comes back; nothing else is ever taken for a packet, and nothing is read
// beyond its end. The same for bootstraps.
// Method: round trips, every truncation, every flipped bit, and random bytes; the address sanitizer
// sees reads beyond the exactly sized buffers.
#include "transport/datagram_packet.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"
#include "transport/datagram_bootstrap.h"

namespace phub::transport {
namespace {

std::vector<std::byte> sample_packet() {
  std::vector<std::byte> payload(100);
  for (size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<std::byte>(i);
  std::vector<std::byte> bytes(1000);
  base::ByteWriter writer(bytes);
  encode(PacketHeader{PacketKind::data, true, 3, 0x1122334455667788, 77}, writer);
  encode(Ack{.next = 9, .message_limit = 20, .received = {2, 0, 0, 1}}, writer);
  encode(Fragment{5, 1, 0xdeadbeef, 300, 200, payload}, writer);
  encode(Fragment{6, 2, 7, 0, 0, {}}, writer);
  EXPECT_TRUE(writer.ok());
  bytes.resize(writer.size());
  return bytes;
}

size_t fragment_count(const Packet& packet) {
  std::span<const std::byte> rest = packet.fragments;
  size_t count = 0;
  while (const std::optional<Fragment> fragment = next_fragment(rest)) {
    EXPECT_LE(uint64_t{fragment->offset} + fragment->bytes.size(), fragment->total);
    ++count;
  }
  return count;
}

TEST(DatagramPacketTest, WhatIsEncodedComesBack) {
  const std::vector<std::byte> bytes = sample_packet();
  const std::optional<Packet> packet = parse_packet(bytes);
  ASSERT_TRUE(packet.has_value());
  EXPECT_EQ(packet->header.kind, PacketKind::data);
  EXPECT_EQ(packet->header.link, 3u);
  EXPECT_EQ(packet->header.cookie, 0x1122334455667788u);
  EXPECT_EQ(packet->header.number, 77u);
  ASSERT_TRUE(packet->header.has_ack);
  EXPECT_EQ(packet->ack.next, 9u);
  EXPECT_EQ(packet->ack.message_limit, 20u);
  EXPECT_EQ(packet->ack.received[0], 2u);
  EXPECT_EQ(packet->ack.received[3], 1u);
  std::span<const std::byte> rest = packet->fragments;
  const std::optional<Fragment> first = next_fragment(rest);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->message, 5u);
  EXPECT_EQ(first->slot, 1u);
  EXPECT_EQ(first->tag, 0xdeadbeefu);
  EXPECT_EQ(first->total, 300u);
  EXPECT_EQ(first->offset, 200u);
  ASSERT_EQ(first->bytes.size(), 100u);
  EXPECT_EQ(first->bytes[99], std::byte{99});
  EXPECT_EQ(next_fragment(rest)->message, 6u);
  EXPECT_FALSE(next_fragment(rest).has_value());
}

TEST(DatagramPacketTest, EveryTruncationInsideAPartIsRefused) {
  const std::vector<std::byte> bytes = sample_packet();
  // Whole parts may be missing at the end: that is a shorter packet.
  const std::vector<size_t> whole = {kHeaderBytes + kAckBytes,
                                     kHeaderBytes + kAckBytes + kFragmentBytes + 100};
  for (size_t length = 0; length < bytes.size(); ++length) {
    const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<long>(length));
    const bool is_whole = std::find(whole.begin(), whole.end(), length) != whole.end();
    EXPECT_EQ(parse_packet(cut).has_value(), is_whole) << length;
  }
}

TEST(DatagramPacketTest, FragmentsThatContradictThemselvesAreRefused) {
  const auto accepts = [](std::vector<Fragment> fragments) {
    std::vector<std::byte> bytes(500);
    base::ByteWriter writer(bytes);
    encode(PacketHeader{}, writer);
    for (const Fragment& fragment : fragments) encode(fragment, writer);
    bytes.resize(writer.size());
    return parse_packet(bytes).has_value();
  };
  const std::vector<std::byte> ten(10);
  EXPECT_TRUE(accepts({{1, 0, 0, 10, 0, ten}}));
  EXPECT_FALSE(accepts({{1, 0, 0, 9, 0, ten}})) << "beyond its end";
  EXPECT_FALSE(accepts({{1, 0, 0, 10, 1, ten}})) << "beyond its end";
  EXPECT_FALSE(accepts({{1, 0, 0, 10, UINT32_MAX, ten}})) << "the offset overflows";
  EXPECT_FALSE(accepts({{1, 0, 0, 10, 0, {}}})) << "empty piece of something";
  EXPECT_TRUE(accepts({{1, 0, 0, 0, 0, {}}}));
  EXPECT_FALSE(accepts({{1, 0, 0, 0, 0, {}}, {1, 0, 0, 0, 0, {}}})) << "one message twice";
  EXPECT_FALSE(accepts({{2, 0, 0, 0, 0, {}}, {1, 0, 0, 0, 0, {}}})) << "out of order";
}

TEST(DatagramPacketTest, FlippedBitsAndNoiseNeverReadBeyondTheEnd) {
  const std::vector<std::byte> good = sample_packet();
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::vector<std::byte> bytes = good;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    if (const std::optional<Packet> packet = parse_packet(bytes)) fragment_count(*packet);
  }
  base::Random random(5);
  size_t accepted_count = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::byte> bytes(random.below(200));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
    // Half of them with a good start, so that the noise reaches the inner parts.
    if (i % 2 == 0) std::copy_n(good.begin(), std::min<size_t>(bytes.size(), 4), bytes.begin());
    if (const std::optional<Packet> packet = parse_packet(bytes)) {
      fragment_count(*packet);
      ++accepted_count;
    }
  }
  EXPECT_LT(accepted_count, 200u);
}

TEST(DatagramBootstrapTest, SlotSizesTravelAsRuns) {
  DatagramBootstrap sent{.mtu = 1500, .link = 4, .cookie = 99, .peer_slot_count = 7};
  sent.slot_bytes.assign(100'000, 32'768);
  sent.slot_bytes.push_back(12);
  const std::string blob = encode(sent);
  EXPECT_LT(blob.size(), 100u);
  const auto received = decode_bootstrap(blob, DatagramBootstrap::Role::offer, 100'001);
  ASSERT_TRUE(received.ok()) << received.status().message();
  EXPECT_EQ(received->slot_bytes, sent.slot_bytes);
  EXPECT_EQ(received->cookie, 99u);
}

TEST(DatagramBootstrapTest, HugeRunIsRefusedWithoutAllocatingIt) {
  DatagramBootstrap sent{.mtu = 1500};
  sent.slot_bytes.assign(10, 64);
  std::string blob = encode(sent);
  blob.replace(blob.size() - 4, 4, "\xff\xff\xff\xff");
  const auto received = decode_bootstrap(blob, DatagramBootstrap::Role::offer, 10);
  EXPECT_EQ(received.status().code(), Code::invalid_argument);
}

TEST(DatagramBootstrapTest, DisagreementIsRefusedWithTheNumbers) {
  DatagramBootstrap peer{.mtu = 1500, .peer_slot_count = 1, .acceptor_puts_max = 2};
  peer.slot_bytes = {64};
  LinkOptions options{.slots = {{nullptr, 64}}, .peer_slot_count = 1, .acceptor_puts_max = 2};
  EXPECT_TRUE(check_bootstrap(peer, options).ok());
  options.peer_slot_bytes = {65};
  EXPECT_EQ(check_bootstrap(peer, options).message(),
            "datagram: slot 0 of the peer holds 64 bytes, but 65 are needed");
  options.peer_slot_bytes = {};
  options.acceptor_puts_max = 3;
  EXPECT_EQ(check_bootstrap(peer, options).message(),
            "datagram: the peer names 2 puts of the acceptor at once, but here there are 3");
}

}  // namespace
}  // namespace phub::transport
