// What lies in the memory that the two ends of a shm link share: three rings and two wake lines.
//
//   pushes     connector -> acceptor   where a pushed payload lies in the connector's memory
//   releases   acceptor -> connector   which push is done with: its `sent`
//   replies    acceptor -> connector   which slot was filled
//
// The acceptor makes the memory, sized from LinkOptions, which both sides know. Nobody may trust
// what he reads there: records are copied out first and checked afterwards.
#pragma once

#include <atomic>
#include <bit>

#include "base/spsc_ring.h"
#include "transport/fabric.h"
#include "transport/shm_wake.h"

namespace phub::transport {

struct PushRecord {
  uint32_t tag = 0;
  uint32_t bytes = 0;   // kClosingBytes: nothing more will come.
  uint32_t region = 0;  // Of the connector's answer.
  uint32_t slot = 0;
  uint64_t offset = 0;  // Within the region.
  uint32_t index = 0;   // Comes back in the release.
  uint32_t reserved = 0;
};
static_assert(sizeof(PushRecord) == 32);

struct ReplyRecord {
  uint32_t tag = 0;
  uint32_t bytes = 0;  // kClosingBytes: nothing more will come.
  uint32_t slot = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(ReplyRecord) == 16);

using ReleaseRecord = uint32_t;  // The push's index.

constexpr uint32_t kClosingBytes = UINT32_MAX;
constexpr uint32_t kShmPutsMax = 1u << 26;

struct RingHeader {
  WakeLine acceptor;
  WakeLine connector;
  base::SpscIndexes pushes;
  base::SpscIndexes releases;
  base::SpscIndexes replies;
};
static_assert(sizeof(RingHeader) == 512);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// One place more than can be unfinished: the closing record always fits.
constexpr uint64_t ring_capacity(uint32_t puts_max) {
  return std::bit_ceil(uint64_t{puts_max} + 1);
}

// The pieces of one link's ring memory.
struct ShmRings {
  RingHeader* header = nullptr;
  PushRecord* pushes = nullptr;
  ReleaseRecord* releases = nullptr;
  ReplyRecord* replies = nullptr;
  uint64_t push_capacity = 0;  // Of releases too.
  uint64_t reply_capacity = 0;

  static size_t bytes(const LinkOptions& options) {
    return sizeof(RingHeader) +
           ring_capacity(options.connector_puts_max) *
               (sizeof(PushRecord) + sizeof(ReleaseRecord)) +
           ring_capacity(options.acceptor_puts_max) * sizeof(ReplyRecord);
  }
  // REQUIRES: `memory` has bytes(options), 64-byte aligned.
  static ShmRings at(std::byte* memory, const LinkOptions& options) {
    ShmRings rings;
    rings.push_capacity = ring_capacity(options.connector_puts_max);
    rings.reply_capacity = ring_capacity(options.acceptor_puts_max);
    rings.header = reinterpret_cast<RingHeader*>(memory);
    memory += sizeof(RingHeader);
    rings.pushes = reinterpret_cast<PushRecord*>(memory);
    memory += rings.push_capacity * sizeof(PushRecord);
    rings.replies = reinterpret_cast<ReplyRecord*>(memory);
    memory += rings.reply_capacity * sizeof(ReplyRecord);
    rings.releases = reinterpret_cast<ReleaseRecord*>(memory);
    return rings;
  }
};

// What one link costs the acceptor in memory: the rings, its tables of both sides' slots, and the
// ring of finished copies.
constexpr uint64_t kShmTableBytesPerSlot = sizeof(Slot) + sizeof(uint32_t) + 16;
inline uint64_t shm_link_bytes(uint32_t slot_count, uint32_t puts_max) {
  LinkOptions options;
  options.acceptor_puts_max = options.connector_puts_max = puts_max;
  return ShmRings::bytes(options) + slot_count * kShmTableBytesPerSlot +
         ring_capacity(puts_max) * sizeof(uint64_t);
}

// A private copy of the next record. Without the barrier the compiler might read the shared
// original once more after the checks, when the peer has changed it.
template <typename T>
T take_copy(base::SpscConsumer<T>& ring) {
  const T copy = ring.take();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return copy;
}

}  // namespace phub::transport
