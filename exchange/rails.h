// Rails: which NIC of its hub each chunk travels by.
//
// A shard uses the NICs of its own NUMA node, where its memory is, or all of its hub's where its
// node has none. Each chunk belongs to one of them; nothing is striped inside a chunk. Balance is
// by elements, largest first, each chunk to the NIC with the least so far. Where nodes have equal
// shares of the shards and of the NICs, the fullest NIC exceeds the mean by at most one chunk, and
// one more for each shard of its node, which the node's NICs share. Source: Parameter Hub (SoCC
// 2018), "key by interface".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "exchange/map.h"

namespace phub::exchange {

// Indexes into HubShape::nics, at most kRailsMax, in the order in which both ends count the rails
// of the shard's links. Empty: the hub has no NICs.
std::vector<uint32_t> nics_of_shard(const HubShape& hubs, uint32_t shard);

// Sets Chunk::nic of all; `order` has their numbers, largest first.
void choose_nics(std::span<Chunk> chunks, std::span<const uint32_t> order, const HubShape& hubs);

// LinkOptions::rails of the links of `shard`: for each slot the rail of its chunk. Empty: no NICs.
std::vector<uint8_t> rails_of_shard(const ChunkMap& map, const HubShape& hubs, uint32_t shard);

struct NicLoad {
  uint64_t chunks = 0;
  uint64_t elements = 0;
  uint64_t bytes = 0;  // Of one rank's pushes in a round; as many come back.
};
// By NIC.
std::vector<NicLoad> nic_loads(const ChunkMap& map, std::span<const TensorSpec> tensors,
                               const HubShape& hubs);
// Largest NIC's elements over the mean: 1 is perfect. 1 where there is no NIC.
double nic_imbalance(std::span<const NicLoad> loads);

// A line of totals and one for each NIC; empty where there is none.
std::string nics_text(const ChunkMap& map, std::span<const TensorSpec> tensors,
                      const HubShape& hubs);

}  // namespace phub::exchange
