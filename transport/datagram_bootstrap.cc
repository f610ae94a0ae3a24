#include "transport/datagram_bootstrap.h"

#include "base/byte_codec.h"

namespace phub::transport {
namespace {

constexpr uint64_t kMagic = 0x31746f6f42474450;  // "PDGBoot1"
constexpr size_t kFixedBytes = 8 + 1 + WireAddress::kBytes + 4 + 4 + 8 + 8 + 4 + 4 + 4 + 4;
constexpr size_t kRunBytes = 8;
constexpr uint32_t kMtuMin = 256;

struct Run {
  uint32_t bytes = 0;
  uint32_t count = 0;
};

std::vector<Run> runs_of(const std::vector<uint32_t>& slot_bytes) {
  std::vector<Run> runs;
  for (const uint32_t bytes : slot_bytes) {
    if (runs.empty() || runs.back().bytes != bytes) runs.push_back({bytes, 0});
    ++runs.back().count;
  }
  return runs;
}

Status refuse(const std::string& why) { return Status(Code::invalid_argument, "datagram: " + why); }

}  // namespace

std::string encode(const DatagramBootstrap& bootstrap) {
  const std::vector<Run> runs = runs_of(bootstrap.slot_bytes);
  std::string blob(kFixedBytes + runs.size() * kRunBytes, '\0');
  base::ByteWriter writer(std::as_writable_bytes(std::span(blob)));
  writer.number(kMagic);
  writer.number(static_cast<uint8_t>(bootstrap.role));
  writer.raw(bootstrap.address.bytes);
  writer.number(bootstrap.mtu);
  writer.number(bootstrap.link);
  writer.number(bootstrap.cookie);
  writer.number(bootstrap.offer_cookie);
  writer.number(bootstrap.peer_slot_count);
  writer.number(bootstrap.acceptor_puts_max);
  writer.number(bootstrap.connector_puts_max);
  writer.number(static_cast<uint32_t>(runs.size()));
  for (const Run& run : runs) {
    writer.number(run.bytes);
    writer.number(run.count);
  }
  return blob;
}

Result<DatagramBootstrap> decode_bootstrap(const std::string& blob, DatagramBootstrap::Role role,
                                           uint32_t slot_count_max) {
  const std::string malformed =
      "the " + std::string(role == DatagramBootstrap::Role::offer ? "offer" : "answer") + " of " +
      std::to_string(blob.size()) + " bytes is malformed";
  base::ByteReader reader(std::as_bytes(std::span(blob)));
  const uint64_t magic = reader.number<uint64_t>();
  DatagramBootstrap peer;
  peer.role = static_cast<DatagramBootstrap::Role>(reader.number<uint8_t>());
  const std::span<const std::byte> address = reader.raw(WireAddress::kBytes);
  std::copy(address.begin(), address.end(), peer.address.bytes.begin());
  peer.mtu = reader.number<uint32_t>();
  peer.link = reader.number<uint32_t>();
  peer.cookie = reader.number<uint64_t>();
  peer.offer_cookie = reader.number<uint64_t>();
  peer.peer_slot_count = reader.number<uint32_t>();
  peer.acceptor_puts_max = reader.number<uint32_t>();
  peer.connector_puts_max = reader.number<uint32_t>();
  const uint32_t run_count = reader.number<uint32_t>();
  if (!reader.ok() || magic != kMagic || peer.role != role || peer.mtu < kMtuMin ||
      reader.left() != size_t{run_count} * kRunBytes) {
    return refuse(malformed);
  }
  for (uint32_t i = 0; i < run_count; ++i) {
    const uint32_t bytes = reader.number<uint32_t>();
    const uint32_t count = reader.number<uint32_t>();
    if (count > slot_count_max - peer.slot_bytes.size()) {
      return refuse("the peer names more than the " + std::to_string(slot_count_max) +
                    " slots that it should have");
    }
    peer.slot_bytes.insert(peer.slot_bytes.end(), count, bytes);
  }
  return peer;
}

Status check_bootstrap(const DatagramBootstrap& peer, const LinkOptions& options) {
  const auto differ = [](const char* what, uint64_t theirs, uint64_t ours) {
    return refuse(std::string("the peer names ") + std::to_string(theirs) + " " + what +
                  ", but here there are " + std::to_string(ours));
  };
  if (peer.slot_bytes.size() != options.peer_slot_count) {
    return differ("slots of its own", peer.slot_bytes.size(), options.peer_slot_count);
  }
  if (peer.peer_slot_count != options.slots.size()) {
    return differ("slots on this side", peer.peer_slot_count, options.slots.size());
  }
  if (peer.acceptor_puts_max != options.acceptor_puts_max) {
    return differ("puts of the acceptor at once", peer.acceptor_puts_max,
                  options.acceptor_puts_max);
  }
  if (peer.connector_puts_max != options.connector_puts_max) {
    return differ("puts of the connector at once", peer.connector_puts_max,
                  options.connector_puts_max);
  }
  const size_t count = std::min(options.peer_slot_bytes.size(), peer.slot_bytes.size());
  for (size_t i = 0; i < count; ++i) {
    if (peer.slot_bytes[i] >= options.peer_slot_bytes[i]) continue;
    return refuse("slot " + std::to_string(i) + " of the peer holds " +
                  std::to_string(peer.slot_bytes[i]) + " bytes, but " +
                  std::to_string(options.peer_slot_bytes[i]) + " are needed");
  }
  return {};
}

}  // namespace phub::transport
