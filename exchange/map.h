// The map: chunk -> hub -> shard -> NIC -> slot, fixed when a job's tensors are agreed.
//
// A pure function of the tensor table, the chunk size and the hubs' shape, so hubs and workers
// compute it independently and compare digests. Balance is by largest-first partition (LPT; Graham
// 1969, at most 4/3 of the optimum): chunks in order of falling size, each to the hub with the
// least elements so far and there to such a shard, ties to the lowest: hubs are equal, whatever
// their cores, because their networks are what they share out. Then the full chunks of each tensor
// change places, which changes no load, so that a shard's are neighbours: a core that walks through
// contiguous memory keeps the processor's prefetchers (2 % more speed with chunks of 32 KiB, 12 %
// with 4 KiB). NICs: exchange/rails.h. Source: Parameter Hub (SoCC 2018), "key by core": one owner
// core, NIC queue and NUMA node per chunk.
#pragma once

#include <phub/status.h>
#include <phub/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace phub::exchange {

struct ShardPlace {
  uint32_t numa_node = 0;
  int core = -1;     // -1: not pinned.
  uint32_t hub = 0;  // Of the job's hubs.

  bool operator==(const ShardPlace&) const = default;
};
struct NicPlace {
  std::string name;
  uint32_t numa_node = 0;
  uint32_t hub = 0;

  bool operator==(const NicPlace&) const = default;
};

// A job's hubs as the map sees them: one hub, or several one after the other (join_hubs). No NICs:
// everything is local (shm).
struct HubShape {
  std::vector<ShardPlace> shards;  // By hub, then by the hub's own number.
  std::vector<NicPlace> nics;      // Likewise.

  bool operator==(const HubShape&) const = default;
};

constexpr uint32_t kHubCountMax = 256;
constexpr uint32_t kRailsMax = 256;  // NICs of one hub.

// A run of shards: one hub's.
struct ShardRange {
  uint32_t first = 0;
  uint32_t count = 0;
};

// The shape of a job over several hubs, numbered in this order.
HubShape join_hubs(std::span<const HubShape> hubs);
// One hub out of them, as it describes itself: numbered 0. Without shards: there is no such hub.
HubShape part_of(const HubShape& joined, uint32_t hub);
ShardRange shards_of(const HubShape& joined, uint32_t hub);
uint32_t hub_count(const HubShape& joined);
// invalid_argument: hubs do not count up from 0 in order, or one has too many NICs. For shapes from
// a peer.
Status check_shape(const HubShape& joined);

struct Chunk {
  uint32_t tensor = 0;         // Index of the tensor.
  uint64_t first_element = 0;  // Within the tensor; a multiple of chunk_elements.
  uint32_t element_count = 0;  // chunk_elements, or fewer in the tensor's last chunk.
  uint32_t shard = 0;          // Of all hubs' shards.
  uint32_t nic = 0;            // Index into HubShape::nics; 0 if there are none.
  uint32_t slot = 0;           // Dense per shard, in chunk order.
};

class ChunkMap {
 public:
  ChunkMap() = default;
  // invalid_argument: a tensor without elements, chunk_elements out of range, no shard, or more
  // chunks than a tag can name (2^24). Nothing is allocated before these are checked.
  static Result<ChunkMap> build(std::span<const TensorSpec> tensors, uint32_t chunk_elements,
                                const HubShape& hub);

  std::span<const Chunk> chunks() const { return chunks_; }  // By tensor, then by first_element.
  uint32_t shard_count() const { return static_cast<uint32_t>(by_shard_.size()); }
  // Chunk numbers that `shard` owns; position = slot.
  std::span<const uint32_t> chunks_of_shard(uint32_t shard) const { return by_shard_[shard]; }
  // Chunk numbers [first, second) of a tensor.
  std::pair<uint32_t, uint32_t> chunks_of_tensor(uint32_t tensor) const {
    return {tensor_begin_[tensor], tensor_begin_[tensor + 1]};
  }
  uint64_t elements_of_shard(uint32_t shard) const { return shard_elements_[shard]; }
  // Largest shard's elements over the mean: 1 is perfect.
  double imbalance() const;
  // Equal maps have equal digests (64-bit FNV-1a over every field).
  uint64_t digest() const;
  // internal: chunks overlap, leave a gap, or share a slot. Run after build on both sides.
  Status verify(std::span<const TensorSpec> tensors) const;

 private:
  void gather_runs();

  friend struct ChunkMapBreaker;  // The test of verify() and digest().

  std::vector<Chunk> chunks_;
  std::vector<std::vector<uint32_t>> by_shard_;
  std::vector<uint32_t> tensor_begin_;
  std::vector<uint64_t> shard_elements_;
};

// The map as text, one chunk a line, for people and for `phubctl map`. qp: the chunk's rail within
// its shard's link, and so its queue pair where a link has one on each NIC (exchange/rails.h).
std::string to_text(const ChunkMap& map, std::span<const TensorSpec> tensors, const HubShape& hub);

}  // namespace phub::exchange
