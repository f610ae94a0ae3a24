#include "exchange/map.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <numeric>
#include <queue>

#include "base/try.h"
#include "exchange/rails.h"
#include "exchange/wire.h"

namespace phub::exchange {
namespace {

constexpr uint32_t kChunkElementsMin = 64;
constexpr uint32_t kChunkElementsMax = 4'194'304;

std::string describe(uint32_t tensor, const TensorSpec& spec) {
  return "tensor " + std::to_string(tensor) + " \"" + spec.name + "\"";
}

// How many chunks there will be, or why the table cannot be cut. Before anything is allocated: the
// counts may come from a peer.
Result<uint64_t> count_chunks(std::span<const TensorSpec> tensors, uint32_t chunk_elements) {
  uint64_t count = 0;
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].count == 0) {
      return Status(Code::invalid_argument,
                    describe(i, tensors[i]) + " has no elements; it needs at least 1");
    }
    count += (tensors[i].count - 1) / chunk_elements + 1;
    if (count > kSlotCountMax) {
      return Status(Code::invalid_argument, "the tensors up to " + describe(i, tensors[i]) +
                                                " make more than " + std::to_string(kSlotCountMax) +
                                                " chunks of " + std::to_string(chunk_elements) +
                                                " elements; use larger chunks");
    }
  }
  return count;
}

struct Load {
  uint64_t elements = 0;
  uint32_t index = 0;  // Of a hub or a shard.
  auto operator<=>(const Load&) const = default;
};
using LeastLoaded = std::priority_queue<Load, std::vector<Load>, std::greater<>>;

// Adds elements to the least loaded; returns which that is.
uint32_t add_to_least(LeastLoaded& least, uint64_t elements) {
  Load load = least.top();
  least.pop();
  load.elements += elements;
  least.push(load);
  return load.index;
}

// 64-bit FNV-1a, eight bytes at a time in little-endian order.
class Digest {
 public:
  void add(uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) {
      hash_ = (hash_ ^ (value >> shift & 255)) * 0x100000001B3u;
    }
  }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0xCBF29CE484222325u;
};

Status broken(const std::string& what) {
  return Status(Code::internal, "chunk map is broken: " + what);
}

}  // namespace

Result<ChunkMap> ChunkMap::build(std::span<const TensorSpec> tensors, uint32_t chunk_elements,
                                 const HubShape& hubs) {
  if (chunk_elements < kChunkElementsMin || chunk_elements > kChunkElementsMax ||
      chunk_elements % 64 != 0) {
    return Status(Code::invalid_argument, "chunk_elements = " + std::to_string(chunk_elements) +
                                              "; use a multiple of 64 from 64 to 4194304");
  }
  if (hubs.shards.empty()) return Status(Code::invalid_argument, "the hub has no shards");
  PHUB_TRY_ASSIGN(const uint64_t chunk_count, count_chunks(tensors, chunk_elements));

  ChunkMap map;
  map.chunks_.reserve(chunk_count);
  map.tensor_begin_.push_back(0);
  for (uint32_t tensor = 0; tensor < tensors.size(); ++tensor) {
    for (uint64_t first = 0; first < tensors[tensor].count; first += chunk_elements) {
      const uint64_t left = tensors[tensor].count - first;
      const uint32_t count = static_cast<uint32_t>(std::min<uint64_t>(left, chunk_elements));
      map.chunks_.push_back({.tensor = tensor, .first_element = first, .element_count = count});
    }
    map.tensor_begin_.push_back(static_cast<uint32_t>(map.chunks_.size()));
  }

  std::vector<uint32_t> order(map.chunks_.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&map](uint32_t a, uint32_t b) {
    return map.chunks_[a].element_count > map.chunks_[b].element_count;
  });
  LeastLoaded least_hub;
  std::vector<LeastLoaded> least_shard(hub_count(hubs));
  for (uint32_t hub = 0; hub < least_shard.size(); ++hub) least_hub.push({0, hub});
  for (uint32_t shard = 0; shard < hubs.shards.size(); ++shard) {
    least_shard[hubs.shards[shard].hub].push({0, shard});
  }
  map.shard_elements_.resize(hubs.shards.size());
  for (const uint32_t number : order) {
    Chunk& chunk = map.chunks_[number];
    const uint32_t hub = add_to_least(least_hub, chunk.element_count);
    chunk.shard = add_to_least(least_shard[hub], chunk.element_count);
    map.shard_elements_[chunk.shard] += chunk.element_count;
  }

  map.gather_runs();
  choose_nics(map.chunks_, order, hubs);
  map.by_shard_.resize(hubs.shards.size());
  for (uint32_t number = 0; number < map.chunks_.size(); ++number) {
    Chunk& chunk = map.chunks_[number];
    chunk.slot = static_cast<uint32_t>(map.by_shard_[chunk.shard].size());
    map.by_shard_[chunk.shard].push_back(number);
  }
  for (std::vector<uint32_t>& owned : map.by_shard_) owned.shrink_to_fit();
  return map;
}

// Chunks of one tensor that have the same size may change places without changing any load.
void ChunkMap::gather_runs() {
  std::vector<uint32_t> shards;
  for (size_t tensor = 0; tensor + 1 < tensor_begin_.size(); ++tensor) {
    uint32_t end = tensor_begin_[tensor + 1];
    // All but the last are full.
    if (chunks_[end - 1].element_count != chunks_[tensor_begin_[tensor]].element_count) --end;
    const auto full =
        std::span(chunks_).subspan(tensor_begin_[tensor], end - tensor_begin_[tensor]);
    shards.clear();
    for (const Chunk& chunk : full) shards.push_back(chunk.shard);
    std::sort(shards.begin(), shards.end());
    for (size_t i = 0; i < full.size(); ++i) full[i].shard = shards[i];
  }
}

double ChunkMap::imbalance() const {
  if (chunks_.empty()) return 1;
  const uint64_t total =
      std::accumulate(shard_elements_.begin(), shard_elements_.end(), uint64_t{0});
  const uint64_t largest = *std::max_element(shard_elements_.begin(), shard_elements_.end());
  return static_cast<double>(largest) * static_cast<double>(shard_elements_.size()) /
         static_cast<double>(total);
}

uint64_t ChunkMap::digest() const {
  Digest digest;
  digest.add(tensor_begin_.size());
  digest.add(by_shard_.size());
  for (const Chunk& chunk : chunks_) {
    digest.add(chunk.tensor);
    digest.add(chunk.first_element);
    digest.add(chunk.element_count);
    digest.add(chunk.shard);
    digest.add(chunk.nic);
    digest.add(chunk.slot);
  }
  return digest.value();
}

Status ChunkMap::verify(std::span<const TensorSpec> tensors) const {
  if (tensor_begin_.size() != tensors.size() + 1) return broken("another number of tensors");
  if (tensor_begin_.front() != 0 || tensor_begin_.back() != chunks_.size()) {
    return broken("chunks without a tensor");
  }
  for (uint32_t tensor = 0; tensor < tensors.size(); ++tensor) {
    uint64_t next = 0;  // The first element that no chunk has covered.
    for (uint32_t i = tensor_begin_[tensor]; i < tensor_begin_[tensor + 1]; ++i) {
      const Chunk& chunk = chunks_[i];
      if (chunk.tensor != tensor || chunk.first_element != next || chunk.element_count == 0) {
        return broken("chunk " + std::to_string(i) + " of " + describe(tensor, tensors[tensor]) +
                      " starts at element " + std::to_string(chunk.first_element) + ", want " +
                      std::to_string(next));
      }
      next += chunk.element_count;
    }
    if (next != tensors[tensor].count) {
      return broken(describe(tensor, tensors[tensor]) + " is covered up to element " +
                    std::to_string(next) + " of " + std::to_string(tensors[tensor].count));
    }
  }
  // Each chunk in the place that its shard and slot name, and no places besides: no slot is shared.
  uint64_t places = 0;
  for (uint32_t shard = 0; shard < by_shard_.size(); ++shard) {
    uint64_t elements = 0;
    for (uint32_t slot = 0; slot < by_shard_[shard].size(); ++slot) {
      const uint32_t number = by_shard_[shard][slot];
      if (number >= chunks_.size() || chunks_[number].shard != shard ||
          chunks_[number].slot != slot) {
        return broken("slot " + std::to_string(slot) + " of shard " + std::to_string(shard) +
                      " is not chunk " + std::to_string(number) + "'s");
      }
      elements += chunks_[number].element_count;
    }
    if (elements != shard_elements_[shard]) {
      return broken("shard " + std::to_string(shard) + " has " + std::to_string(elements) +
                    " elements, not " + std::to_string(shard_elements_[shard]));
    }
    places += by_shard_[shard].size();
  }
  if (places != chunks_.size()) return broken("chunks without a slot");
  return {};
}

std::string to_text(const ChunkMap& map, std::span<const TensorSpec> tensors,
                    const HubShape& hubs) {
  char line[512];
  const uint32_t count = hub_count(hubs);
  std::snprintf(line, sizeof(line), "%zu chunks of %zu tensors on %u shards", map.chunks().size(),
                tensors.size(), map.shard_count());
  std::string text = line;
  if (count > 1) text += " of " + std::to_string(count) + " hubs";
  std::snprintf(line, sizeof(line), ", max/mean %.4f\n", map.imbalance());
  text += line;
  text += nics_text(map, tensors, hubs);
  text += "chunk tensor first_element elements hub shard core numa nic qp slot name\n";
  std::vector<uint32_t> first_shard;
  for (uint32_t hub = 0; hub < count; ++hub) first_shard.push_back(shards_of(hubs, hub).first);
  std::vector<std::vector<uint8_t>> rails;  // By shard; empty: its hub has no NICs.
  for (uint32_t shard = 0; shard < map.shard_count(); ++shard) {
    rails.push_back(rails_of_shard(map, hubs, shard));
  }
  for (size_t i = 0; i < map.chunks().size(); ++i) {
    const Chunk& chunk = map.chunks()[i];
    const ShardPlace& place = hubs.shards[chunk.shard];
    const std::vector<uint8_t>& rail = rails[chunk.shard];
    const bool has_nic = !rail.empty();
    const char* const nic = has_nic ? hubs.nics[chunk.nic].name.c_str() : "-";
    const std::string queue_pair = has_nic ? std::to_string(rail[chunk.slot]) : "-";
    std::snprintf(line, sizeof(line), "%zu %u %llu %u %u %u %d %u %.64s %s %u ", i, chunk.tensor,
                  static_cast<unsigned long long>(chunk.first_element), chunk.element_count,
                  place.hub, chunk.shard - first_shard[place.hub], place.core, place.numa_node, nic,
                  queue_pair.c_str(), chunk.slot);
    text += line + tensors[chunk.tensor].name + "\n";
  }
  return text;
}

}  // namespace phub::exchange
