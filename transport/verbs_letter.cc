#include "transport/verbs_letter.h"

#include <algorithm>
#include <bit>

#include "base/byte_codec.h"

namespace phub::transport {
namespace {

constexpr uint32_t kMagic = 0x314c5650;  // "PVL1"
constexpr uint32_t kNumbers = 1u << 24;

}  // namespace

std::array<std::byte, VerbsLetter::kBytes> encode(const VerbsLetter& letter) {
  std::array<std::byte, VerbsLetter::kBytes> bytes = {};
  base::ByteWriter writer(bytes);
  writer.number(kMagic);
  writer.number(static_cast<uint8_t>(letter.kind));
  writer.number(static_cast<uint8_t>(letter.is_from_acceptor ? 1 : 0));
  writer.number(letter.path);
  writer.number(static_cast<uint8_t>(letter.phase));
  writer.number(letter.queue);
  writer.number(letter.cookie);
  writer.number(letter.incarnation);
  writer.number(letter.arrived);
  writer.number(letter.endpoint.queue_pair);
  writer.number(letter.endpoint.first_packet);
  writer.number(letter.endpoint.window_key);
  writer.raw(std::as_bytes(std::span(letter.address.gid)));
  writer.number(letter.address.lid);
  writer.number(letter.address.mtu);
  writer.number(static_cast<uint8_t>(letter.address.is_infiniband ? 1 : 0));
  return bytes;
}

std::optional<VerbsLetter> decode_letter(std::span<const std::byte> bytes) {
  if (bytes.size() != VerbsLetter::kBytes) return std::nullopt;
  base::ByteReader reader(bytes);
  if (reader.number<uint32_t>() != kMagic) return std::nullopt;
  VerbsLetter letter;
  const auto kind = reader.number<uint8_t>();
  letter.is_from_acceptor = reader.number<uint8_t>() == 1;
  letter.path = reader.number<uint8_t>();
  const auto phase = reader.number<uint8_t>();
  letter.queue = reader.number<uint16_t>();
  letter.cookie = reader.number<uint64_t>();
  letter.incarnation = reader.number<uint32_t>();
  letter.arrived = reader.number<uint32_t>();
  letter.endpoint.queue_pair = reader.number<uint32_t>();
  letter.endpoint.first_packet = reader.number<uint32_t>();
  letter.endpoint.window_key = reader.number<uint32_t>();
  const std::span<const std::byte> gid = reader.raw(letter.address.gid.size());
  std::transform(gid.begin(), gid.end(), letter.address.gid.begin(),
                 [](std::byte byte) { return static_cast<uint8_t>(byte); });
  letter.address.lid = reader.number<uint16_t>();
  letter.address.mtu = reader.number<uint32_t>();
  letter.address.is_infiniband = reader.number<uint8_t>() == 1;
  letter.kind = static_cast<VerbsLetter::Kind>(kind);
  letter.phase = static_cast<VerbsLetter::Phase>(phase);
  const uint32_t mtu = letter.address.mtu;
  const bool is_sound = kind >= 1 && kind <= 2 && phase <= 2 &&
                        letter.endpoint.queue_pair < kNumbers &&
                        letter.endpoint.first_packet < kNumbers && mtu >= 256 && mtu <= 4096 &&
                        std::has_single_bit(mtu);
  if (!is_sound) return std::nullopt;
  return letter;
}

}  // namespace phub::transport
