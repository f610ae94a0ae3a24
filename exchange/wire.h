// The 32-bit tag of a put: what a push, a reply or a pull says about itself.
//
//   bits 31..28  verb
//   bits 27..24  round modulo 16
//   bits 23..0   slot: the chunk's number on its shard
//
// No wider than an RDMA immediate. Job, rank and shard follow from the link. docs/wire.md has the
// format.
#pragma once

#include <cstdint>

namespace phub::exchange {

enum class Verb : uint8_t {
  push_pull = 0,  // To the hub: this rank's summand. From the hub: the round's result.
  broadcast =
      1,     // To the hub: root's data, or no bytes from the others. From the hub: root's data.
  pull = 2,  // To the hub: no bytes. From the hub: the weights it holds.
};
constexpr uint32_t kVerbCount = 3;

constexpr uint32_t kSlotBits = 24;
constexpr uint32_t kSlotCountMax = 1u << kSlotBits;

struct Tag {
  Verb verb = Verb::push_pull;
  uint32_t round = 0;  // Only the low four bits travel.
  uint32_t slot = 0;
};

constexpr uint32_t encode(Tag tag) {
  return static_cast<uint32_t>(tag.verb) << 28 | (tag.round & 15u) << 24 |
         (tag.slot & (kSlotCountMax - 1));
}
// The verb may be out of range: the receiver checks it.
constexpr Tag decode(uint32_t bits) {
  return {static_cast<Verb>(bits >> 28), (bits >> 24) & 15u, bits & (kSlotCountMax - 1)};
}

// LinkOptions of the link between a rank and a shard that owns `chunk_count` chunks, in both
// directions: two versions of a result can be on their way at once.
constexpr uint32_t puts_max(uint32_t chunk_count) { return 2 * chunk_count + 16; }

}  // namespace phub::exchange
