// Offer and answer of a shm link as bytes, and back. docs/wire.md, "Shared memory".
//
// Decoding never trusts: what comes back is complete and consistent with itself and with the
// options; whether the memory behind the numbers is there, is checked where it is mapped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "transport/fabric.h"
#include "transport/shm_memory.h"

namespace phub::transport {

constexpr size_t kShmFdsMax = 250;  // In one answer; the kernel passes 253 at once.

// Descriptors beside it: ring memory, the connector's end of the socket pair.
std::string encode_shm_offer(const LinkOptions& options);
// invalid_argument: not an offer of this version, or the two sides disagree on a number.
// options: the connector's.
Status check_shm_offer(std::string_view blob, const LinkOptions& options);

// Descriptors beside it: one memfd for each region.
struct ShmAnswer {
  struct PlacedSlot {
    RegionSpan at;
    uint32_t bytes = 0;
  };
  std::vector<uint64_t> region_bytes;
  std::vector<PlacedSlot> slots;  // Each inside its region.
};
std::string encode_shm_answer(const ShmAnswer& answer);
// invalid_argument: says which number is wrong. options: the acceptor's.
Result<ShmAnswer> decode_shm_answer(std::string_view blob, const LinkOptions& options);

}  // namespace phub::transport
