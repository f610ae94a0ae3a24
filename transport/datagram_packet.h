// The packets of transport/datagram. All numbers are little-endian.
//
//   header    24 bytes  magic u16, version u8, kind u8 (bit 7: an ack follows, bit 6: it
//                       tells of congestion), link u32,
//                       cookie u64, number u64
//   ack       48 bytes  next u64, message_limit u64, received 4 x u64
//   fragment  28 bytes  message u64, slot u32, tag u32, total u32, offset u32, length u32,
//                       then `length` bytes; as many fragments as fit, in order of messages
//
// `link` and `cookie` are the receiver's: the cookie names one incarnation of the link, so packets
// from before a reconnect are told apart. A packet number always means the same bytes: a
// retransmission repeats the packet, and the receiver takes each number once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/byte_codec.h"

namespace phub::transport {

enum class PacketKind : uint8_t {
  data = 1,   // Fragments; none in a probe, which only wants an ack.
  ack = 2,    // An ack alone.
  close = 3,  // The sender closed the link.
  reset = 4,  // Echoes link and cookie of a packet whose receiver does not know them.
};

constexpr size_t kHeaderBytes = 24;
constexpr size_t kAckBytes = 48;
constexpr size_t kFragmentBytes = 28;
constexpr uint32_t kWindowPackets = 256;  // Bits of an ack: the most packets in flight.

struct PacketHeader {
  PacketKind kind = PacketKind::data;
  bool has_ack = false;
  uint32_t link = 0;
  uint64_t cookie = 0;
  uint64_t number = 0;  // data: this packet's, from 0. Otherwise 0.
};

struct Ack {
  uint64_t next = 0;           // All packets below have come.
  uint64_t message_limit = 0;  // Messages below may be sent.
  bool is_marked = false;  // Data came with the network's mark of congestion since the last ack.
  std::array<uint64_t, kWindowPackets / 64> received{};  // Bit i: packet next + i has come.
};

struct Fragment {
  uint64_t message = 0;
  uint32_t slot = 0;
  uint32_t tag = 0;
  uint32_t total = 0;   // Bytes of the whole put.
  uint32_t offset = 0;  // Of these within it.
  std::span<const std::byte> bytes;
};

void encode(const PacketHeader& header, base::ByteWriter& to, bool is_marked = false);
void encode(const Ack& ack, base::ByteWriter& to);  // Its mark is in the header.
void encode(const Fragment& fragment, base::ByteWriter& to);
void encode_head(const Fragment& fragment, base::ByteWriter& to);  // All but its bytes.

struct Packet {
  PacketHeader header;
  Ack ack;  // If header.has_ack.
  std::span<const std::byte> fragments;
};

// Nothing: not a packet of ours, or a malformed one. Every fragment has been walked: next_fragment
// finds only whole ones with offset + length <= total, messages strictly rising, and no empty one
// unless its total is 0.
std::optional<Packet> parse_packet(std::span<const std::byte> bytes);

// Takes the first fragment off `fragments`; nothing when they are used up or broken.
std::optional<Fragment> next_fragment(std::span<const std::byte>& fragments);

}  // namespace phub::transport
