#include "exchange/rails.h"

#include <algorithm>
#include <cstdio>

namespace phub::exchange {

std::vector<uint32_t> nics_of_shard(const HubShape& hubs, uint32_t shard) {
  if (hubs.nics.empty()) return {};
  const ShardPlace& place = hubs.shards[shard];
  std::vector<uint32_t> all;
  std::vector<uint32_t> near;
  for (uint32_t nic = 0; nic < hubs.nics.size(); ++nic) {
    if (hubs.nics[nic].hub != place.hub) continue;
    all.push_back(nic);
    if (hubs.nics[nic].numa_node == place.numa_node) near.push_back(nic);
  }
  return near.empty() ? all : near;
}

void choose_nics(std::span<Chunk> chunks, std::span<const uint32_t> order, const HubShape& hubs) {
  if (hubs.nics.empty()) return;
  std::vector<std::vector<uint32_t>> nics;  // By shard.
  for (uint32_t shard = 0; shard < hubs.shards.size(); ++shard) {
    nics.push_back(nics_of_shard(hubs, shard));
  }
  std::vector<uint64_t> elements(hubs.nics.size(), 0);
  for (const uint32_t number : order) {
    Chunk& chunk = chunks[number];
    const std::vector<uint32_t>& choice = nics[chunk.shard];
    if (choice.empty()) continue;  // Another hub of the job has NICs, this one has none.
    chunk.nic = *std::min_element(choice.begin(), choice.end(), [&](uint32_t a, uint32_t b) {
      return elements[a] < elements[b];
    });
    elements[chunk.nic] += chunk.element_count;
  }
}

std::vector<uint8_t> rails_of_shard(const ChunkMap& map, const HubShape& hubs, uint32_t shard) {
  const std::vector<uint32_t> nics = nics_of_shard(hubs, shard);
  std::vector<uint8_t> rails;
  if (nics.empty()) return rails;
  std::vector<uint8_t> rail_of_nic(hubs.nics.size(), 0);
  for (size_t rail = 0; rail < nics.size(); ++rail) {
    rail_of_nic[nics[rail]] = static_cast<uint8_t>(rail);
  }
  for (const uint32_t number : map.chunks_of_shard(shard)) {
    rails.push_back(rail_of_nic[map.chunks()[number].nic]);
  }
  return rails;
}

std::vector<NicLoad> nic_loads(const ChunkMap& map, std::span<const TensorSpec> tensors,
                               const HubShape& hubs) {
  std::vector<NicLoad> loads(hubs.nics.size());
  if (loads.empty()) return loads;
  for (const Chunk& chunk : map.chunks()) {
    NicLoad& load = loads[chunk.nic];
    if (hubs.nics[chunk.nic].hub != hubs.shards[chunk.shard].hub) continue;  // Its hub has none.
    ++load.chunks;
    load.elements += chunk.element_count;
    load.bytes += uint64_t{chunk.element_count} * size_of(tensors[chunk.tensor].type);
  }
  return loads;
}

double nic_imbalance(std::span<const NicLoad> loads) {
  uint64_t total = 0;
  uint64_t largest = 0;
  for (const NicLoad& load : loads) {
    total += load.elements;
    largest = std::max(largest, load.elements);
  }
  if (total == 0) return 1;
  return static_cast<double>(largest) * static_cast<double>(loads.size()) /
         static_cast<double>(total);
}

std::string nics_text(const ChunkMap& map, std::span<const TensorSpec> tensors,
                      const HubShape& hubs) {
  if (hubs.nics.empty()) return "";
  const std::vector<NicLoad> loads = nic_loads(map, tensors, hubs);
  char line[256];
  std::snprintf(line, sizeof(line), "%zu NICs, max/mean %.4f\n", loads.size(),
                nic_imbalance(loads));
  std::string text = line;
  text += "nic hub numa chunks elements bytes\n";
  for (size_t i = 0; i < loads.size(); ++i) {
    const NicPlace& nic = hubs.nics[i];
    std::snprintf(line, sizeof(line), "%.64s %u %u %llu %llu %llu\n", nic.name.c_str(), nic.hub,
                  nic.numa_node, static_cast<unsigned long long>(loads[i].chunks),
                  static_cast<unsigned long long>(loads[i].elements),
                  static_cast<unsigned long long>(loads[i].bytes));
    text += line;
  }
  return text;
}

}  // namespace phub::exchange
