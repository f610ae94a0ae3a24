#include "transport/verbs_bootstrap.h"

#include <algorithm>
#include <bit>

#include "base/try.h"
#include "transport/bootstrap_checks.h"

namespace phub::transport {
namespace {

constexpr uint32_t kMagic = 0x42565048;  // "HPVB"
constexpr uint32_t kVersion = 1;
constexpr uint32_t kDepthMax = 1u << 16;
constexpr size_t kHeadBytes = 2 * 4 + 1 + 8 + 9 * 4;
constexpr size_t kRailBytes = 16 + 2 + 4 + 1 + 4 + 4;
constexpr size_t kEndpointBytes = 3 * 4;
constexpr size_t kRunBytes = 8 + 8 + 4 + 4 + 4;
constexpr uint32_t kPacketNumbers = 1u << 24;

// Slots of one size, one range and one distance from each other.
struct Run {
  uint64_t address = 0;
  uint64_t stride = 0;
  uint32_t count = 0;
  uint32_t bytes = 0;
  uint32_t range = 0;
};

bool extends(const Run& run, const VerbsSlot& slot) {
  if (run.bytes != slot.bytes || run.range != slot.range) return false;
  return run.count == 1 || run.address + run.stride * run.count == slot.address;
}

std::vector<Run> runs_of(const std::vector<VerbsSlot>& slots) {
  std::vector<Run> runs;
  for (const VerbsSlot& slot : slots) {
    if (!runs.empty() && extends(runs.back(), slot)) {
      Run& run = runs.back();
      if (run.count == 1) run.stride = slot.address - run.address;
      ++run.count;
    } else {
      runs.push_back({slot.address, 0, 1, slot.bytes, slot.range});
    }
  }
  return runs;
}

Status refuse(std::string_view blob, const std::string& why) {
  return Status(Code::invalid_argument, "verbs bootstrap of " + std::to_string(blob.size()) +
                                            " bytes is malformed: " + why);
}

bool is_mtu(uint32_t bytes) { return bytes >= 256 && bytes <= 4096 && std::has_single_bit(bytes); }

Result<VerbsRailOffer> read_rail(base::ByteReader& reader, const VerbsBootstrap& head,
                                 std::string_view blob) {
  VerbsRailOffer rail;
  const std::span<const std::byte> gid = reader.raw(rail.address.gid.size());
  std::transform(gid.begin(), gid.end(), rail.address.gid.begin(),
                 [](std::byte byte) { return static_cast<uint8_t>(byte); });
  rail.address.lid = reader.number<uint16_t>();
  rail.address.mtu = reader.number<uint32_t>();
  const auto layer = reader.number<uint8_t>();
  rail.address.is_infiniband = layer == 1;
  rail.mail_queue_pair = reader.number<uint32_t>();
  rail.mail_key = reader.number<uint32_t>();
  if (!is_mtu(rail.address.mtu) || layer > 1 || rail.mail_queue_pair >= kPacketNumbers) {
    return refuse(blob, "a rail's address");
  }
  for (uint32_t i = 0; i < head.range_count; ++i) {
    rail.range_keys.push_back(reader.number<uint32_t>());
  }
  for (uint32_t i = 0; i < head.queue_pairs; ++i) {
    VerbsEndpoint& endpoint = rail.endpoints.emplace_back();
    endpoint.queue_pair = reader.number<uint32_t>();
    endpoint.first_packet = reader.number<uint32_t>();
    endpoint.window_key = reader.number<uint32_t>();
    if (endpoint.queue_pair >= kPacketNumbers || endpoint.first_packet >= kPacketNumbers) {
      return refuse(blob, "a queue pair's number");
    }
  }
  return rail;
}

Status read_slots(base::ByteReader& reader, size_t slot_count, std::string_view blob,
                  VerbsBootstrap* bootstrap) {
  const auto run_count = reader.number<uint32_t>();
  if (reader.left() != run_count * kRunBytes) return refuse(blob, "its length");
  bootstrap->slots.reserve(slot_count);
  for (uint32_t i = 0; i < run_count; ++i) {
    Run run;
    run.address = reader.number<uint64_t>();
    run.stride = reader.number<uint64_t>();
    run.count = reader.number<uint32_t>();
    run.bytes = reader.number<uint32_t>();
    run.range = reader.number<uint32_t>();
    if (run.count == 0 || run.count > slot_count - bootstrap->slots.size()) {
      return refuse(blob, "its count of slots");
    }
    if (run.range >= bootstrap->range_count) return refuse(blob, "a slot in no range");
    for (uint32_t k = 0; k < run.count; ++k) {
      bootstrap->slots.push_back({run.address + run.stride * k, run.bytes, run.range});
    }
  }
  if (bootstrap->slots.size() != slot_count) return refuse(blob, "its count of slots");
  return {};
}

Status read_head(base::ByteReader& reader, VerbsBootstrap::Role role, std::string_view blob,
                 const LinkOptions& options, VerbsBootstrap* head) {
  PHUB_TRY(check_head(reader, kMagic, kVersion, "verbs bootstrap"));
  head->role = static_cast<VerbsBootstrap::Role>(reader.number<uint8_t>());
  head->cookie = reader.number<uint64_t>();
  head->peer_slot_count = reader.number<uint32_t>();
  head->acceptor_puts_max = reader.number<uint32_t>();
  head->connector_puts_max = reader.number<uint32_t>();
  head->tag_slot_mask = reader.number<uint32_t>();
  head->receive_depth = reader.number<uint32_t>();
  head->range_count = reader.number<uint32_t>();
  head->queue_pairs = reader.number<uint32_t>();
  const auto rail_count = reader.number<uint32_t>();
  const auto slot_count = reader.number<uint32_t>();
  if (head->role != role) return refuse(blob, "not the role that was expected");
  PHUB_TRY(check_equal("slots of its peer", head->peer_slot_count, options.slots.size()));
  PHUB_TRY(check_equal("slots", slot_count, options.peer_slot_count));
  PHUB_TRY(check_equal("acceptor_puts_max", head->acceptor_puts_max, options.acceptor_puts_max));
  PHUB_TRY(check_equal("connector_puts_max", head->connector_puts_max, options.connector_puts_max));
  PHUB_TRY(check_equal("tag_slot_mask", head->tag_slot_mask, options.tag_slot_mask));
  if (rail_count == 0 || rail_count > kVerbsRailsMax) return refuse(blob, "its count of rails");
  if (head->queue_pairs == 0 || head->queue_pairs > kVerbsQueuePairsMax) {
    return refuse(blob, "its count of queue pairs");
  }
  if (head->range_count > kVerbsRangesMax) return refuse(blob, "its count of ranges");
  if (head->receive_depth == 0 || head->receive_depth > kDepthMax) return refuse(blob, "its depth");
  head->rails.resize(rail_count);
  return {};
}

}  // namespace

std::string encode(const VerbsBootstrap& bootstrap) {
  const std::vector<Run> runs = runs_of(bootstrap.slots);
  const size_t rail_bytes =
      kRailBytes + bootstrap.range_count * 4 + bootstrap.queue_pairs * kEndpointBytes;
  std::string blob(kHeadBytes + bootstrap.rails.size() * rail_bytes + 4 + runs.size() * kRunBytes,
                   '\0');
  base::ByteWriter writer(bytes_of(blob));
  writer.number(kMagic);
  writer.number(kVersion);
  writer.number(static_cast<uint8_t>(bootstrap.role));
  writer.number(bootstrap.cookie);
  writer.number(bootstrap.peer_slot_count);
  writer.number(bootstrap.acceptor_puts_max);
  writer.number(bootstrap.connector_puts_max);
  writer.number(bootstrap.tag_slot_mask);
  writer.number(bootstrap.receive_depth);
  writer.number(bootstrap.range_count);
  writer.number(bootstrap.queue_pairs);
  writer.number(static_cast<uint32_t>(bootstrap.rails.size()));
  writer.number(static_cast<uint32_t>(bootstrap.slots.size()));
  for (const VerbsRailOffer& rail : bootstrap.rails) {
    writer.raw(std::as_bytes(std::span(rail.address.gid)));
    writer.number(rail.address.lid);
    writer.number(rail.address.mtu);
    writer.number(static_cast<uint8_t>(rail.address.is_infiniband ? 1 : 0));
    writer.number(rail.mail_queue_pair);
    writer.number(rail.mail_key);
    for (const uint32_t key : rail.range_keys) writer.number(key);
    for (const VerbsEndpoint& endpoint : rail.endpoints) {
      writer.number(endpoint.queue_pair);
      writer.number(endpoint.first_packet);
      writer.number(endpoint.window_key);
    }
  }
  writer.number(static_cast<uint32_t>(runs.size()));
  for (const Run& run : runs) {
    writer.number(run.address);
    writer.number(run.stride);
    writer.number(run.count);
    writer.number(run.bytes);
    writer.number(run.range);
  }
  return blob;
}

Result<VerbsBootstrap> decode_verbs_bootstrap(std::string_view blob, VerbsBootstrap::Role role,
                                              const LinkOptions& options) {
  if (blob.size() > kVerbsBlobMax) return refuse(blob, "too long");
  base::ByteReader reader(bytes_of(blob));
  VerbsBootstrap bootstrap;
  PHUB_TRY(read_head(reader, role, blob, options, &bootstrap));
  const size_t rail_bytes =
      kRailBytes + bootstrap.range_count * 4 + bootstrap.queue_pairs * kEndpointBytes;
  if (!reader.ok() || reader.left() < bootstrap.rails.size() * rail_bytes + 4) {
    return refuse(blob, "its length");
  }
  for (VerbsRailOffer& rail : bootstrap.rails) {
    PHUB_TRY_ASSIGN(rail, read_rail(reader, bootstrap, blob));
  }
  PHUB_TRY(read_slots(reader, options.peer_slot_count, blob, &bootstrap));
  if (!reader.is_complete()) return refuse(blob, "its length");
  for (size_t i = 0; i < options.peer_slot_bytes.size() && i < bootstrap.slots.size(); ++i) {
    if (bootstrap.slots[i].bytes >= options.peer_slot_bytes[i]) continue;
    return Status(Code::invalid_argument, "the peer's slot " + std::to_string(i) + " has " +
                                              std::to_string(bootstrap.slots[i].bytes) +
                                              " bytes; it needs " +
                                              std::to_string(options.peer_slot_bytes[i]));
  }
  return bootstrap;
}

}  // namespace phub::transport
