// What the two halves of a verbs link tell each other through the session: where their queue pairs
// are, where the slots are, and the keys to them.
//
// Addresses are offsets inside the ranges that the keys open, not pointers. Slots travel as runs
// of equal size and distance. Nothing in a blob is trusted: it is checked here for form and
// numbers, and what its addresses and keys open is checked by the device that owns the memory.
#pragma once

#include <phub/status.h>

#include <string>
#include <vector>

#include "transport/fabric.h"
#include "transport/verbs_gid.h"

namespace phub::transport {

constexpr uint32_t kVerbsRailsMax = 16;
constexpr uint32_t kVerbsQueuePairsMax = 16;  // Of a link and rail.
constexpr uint32_t kVerbsRangesMax = 4096;    // Of a link's slots.
constexpr size_t kVerbsBlobMax = size_t{16} << 20;

// Where a port is.
struct VerbsAddress {
  Gid gid = {};
  uint16_t lid = 0;
  uint32_t mtu = 0;  // Bytes, one of 256 to 4096.
  bool is_infiniband = false;

  bool operator==(const VerbsAddress&) const = default;
};

// One queue pair, in one of its incarnations.
struct VerbsEndpoint {
  uint32_t queue_pair = 0;
  uint32_t first_packet = 0;  // Sequence number of the first packet that it sends.
  uint32_t window_key = 0;    // Opens all slots, for this queue pair only. 0: the range keys do.
};

struct VerbsRailOffer {
  VerbsAddress address;
  uint32_t mail_queue_pair = 0;
  uint32_t mail_key = 0;
  std::vector<uint32_t> range_keys;      // As many as there are ranges.
  std::vector<VerbsEndpoint> endpoints;  // As many as the link has queue pairs on a rail.
};

struct VerbsSlot {
  uint64_t address = 0;
  uint32_t bytes = 0;
  uint32_t range = 0;
};

struct VerbsBootstrap {
  enum class Role : uint8_t { offer = 1, answer = 2 };
  Role role = Role::offer;
  uint64_t cookie = 0;  // Drawn by the acceptor, repeated by the connector.
  uint32_t peer_slot_count = 0;
  uint32_t acceptor_puts_max = 0;
  uint32_t connector_puts_max = 0;
  uint32_t tag_slot_mask = 0;
  uint32_t receive_depth = 0;  // Puts that the sender of this may be sent before it credits any.
  uint32_t range_count = 0;
  uint32_t queue_pairs = 1;  // Per rail.
  // The acceptor's rails. In an answer one for each of them; the connector's are taken round.
  std::vector<VerbsRailOffer> rails;
  std::vector<VerbsSlot> slots;
};

std::string encode(const VerbsBootstrap& bootstrap);
// invalid_argument: malformed, or its numbers are not those of `options`.
Result<VerbsBootstrap> decode_verbs_bootstrap(std::string_view blob, VerbsBootstrap::Role role,
                                              const LinkOptions& options);

}  // namespace phub::transport
