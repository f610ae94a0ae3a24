#include "transport/datagram_packet.h"

namespace phub::transport {
namespace {
constexpr uint16_t kMagic = 0x4850;  // "PH"
constexpr uint8_t kVersion = 1;
constexpr uint8_t kAckFlag = 0x80;
constexpr uint8_t kMarkFlag = 0x40;
}  // namespace

void encode(const PacketHeader& header, base::ByteWriter& to, bool is_marked) {
  to.number(kMagic);
  to.number(kVersion);
  to.number(static_cast<uint8_t>(static_cast<uint8_t>(header.kind) |
                                 (header.has_ack ? kAckFlag : 0) | (is_marked ? kMarkFlag : 0)));
  to.number(header.link);
  to.number(header.cookie);
  to.number(header.number);
}

void encode(const Ack& ack, base::ByteWriter& to) {
  to.number(ack.next);
  to.number(ack.message_limit);
  for (const uint64_t word : ack.received) to.number(word);
}

void encode(const Fragment& fragment, base::ByteWriter& to) {
  encode_head(fragment, to);
  to.raw(fragment.bytes);
}

void encode_head(const Fragment& fragment, base::ByteWriter& to) {
  to.number(fragment.message);
  to.number(fragment.slot);
  to.number(fragment.tag);
  to.number(fragment.total);
  to.number(fragment.offset);
  to.number(static_cast<uint32_t>(fragment.bytes.size()));
}

std::optional<Fragment> next_fragment(std::span<const std::byte>& fragments) {
  base::ByteReader reader(fragments);
  Fragment fragment;
  fragment.message = reader.number<uint64_t>();
  fragment.slot = reader.number<uint32_t>();
  fragment.tag = reader.number<uint32_t>();
  fragment.total = reader.number<uint32_t>();
  fragment.offset = reader.number<uint32_t>();
  const uint32_t length = reader.number<uint32_t>();
  fragment.bytes = reader.raw(length);
  if (!reader.ok()) return std::nullopt;
  if (fragment.offset > fragment.total || length > fragment.total - fragment.offset) {
    return std::nullopt;
  }
  if (length == 0 && fragment.total != 0) return std::nullopt;
  fragments = fragments.last(reader.left());
  return fragment;
}

std::optional<Packet> parse_packet(std::span<const std::byte> bytes) {
  base::ByteReader reader(bytes);
  const uint16_t magic = reader.number<uint16_t>();
  const uint8_t version = reader.number<uint8_t>();
  const uint8_t kind = reader.number<uint8_t>();
  Packet packet;
  packet.header.kind = static_cast<PacketKind>(kind & ~(kAckFlag | kMarkFlag));
  packet.header.has_ack = (kind & kAckFlag) != 0;
  packet.header.link = reader.number<uint32_t>();
  packet.header.cookie = reader.number<uint64_t>();
  packet.header.number = reader.number<uint64_t>();
  if (packet.header.has_ack) {
    packet.ack.next = reader.number<uint64_t>();
    packet.ack.message_limit = reader.number<uint64_t>();
    for (uint64_t& word : packet.ack.received) word = reader.number<uint64_t>();
  }
  packet.ack.is_marked = (kind & kMarkFlag) != 0;
  if (packet.ack.is_marked && !packet.header.has_ack) return std::nullopt;
  if (!reader.ok() || magic != kMagic || version != kVersion) return std::nullopt;
  packet.fragments = bytes.last(reader.left());
  switch (packet.header.kind) {
    case PacketKind::data:
      break;
    case PacketKind::ack:
      if (!packet.header.has_ack) return std::nullopt;
      [[fallthrough]];
    case PacketKind::close:
    case PacketKind::reset:
      if (!packet.fragments.empty()) return std::nullopt;
      return packet;
    default:
      return std::nullopt;
  }
  std::span<const std::byte> rest = packet.fragments;
  bool is_first = true;
  uint64_t last_message = 0;
  while (!rest.empty()) {
    const std::optional<Fragment> fragment = next_fragment(rest);
    if (!fragment || (!is_first && fragment->message <= last_message)) return std::nullopt;
    last_message = fragment->message;
    is_first = false;
  }
  return packet;
}

}  // namespace phub::transport
