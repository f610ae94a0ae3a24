#include "phub/snapshot.h"

#include <algorithm>

#include "phub/shard.h"

namespace phub::hub {

ShardSnapshot snapshot_of(const Shard& shard, const exchange::ShardPlace& place) {
  const ShardCounters& counters = shard.counters();
  ShardSnapshot result;
  result.shard = shard.index();
  result.core = place.core;
  result.numa_node = place.numa_node;
  result.chunks_owned = counters.chunks_owned.get();
  result.pushes = counters.pushes.get();
  result.pushed_bytes = counters.pushed_bytes.get();
  result.results = counters.results.get();
  result.replied_bytes = counters.replied_bytes.get();
  result.duplicates = counters.duplicates.get();
  result.stale = counters.stale.get();
  result.malformed = counters.malformed.get();
  result.polls = counters.polls.get();
  result.idle_polls = counters.idle_polls.get();
  result.sleeps = counters.sleeps.get();
  result.busy_seconds = static_cast<double>(counters.busy_ns.get()) * 1e-9;
  return result;
}

void add_nics(Shard& shard, std::vector<NicSnapshot>& nics) {
  for (uint32_t i = 0; i < shard.fabric_count(); ++i) {
    for (const transport::RailCounters& rail : shard.fabric(i).rails()) {
      auto place = std::find_if(nics.begin(), nics.end(),
                                [&](const NicSnapshot& nic) { return nic.name == rail.name; });
      if (place == nics.end()) {
        nics.emplace_back().name = rail.name;
        place = nics.end() - 1;
      }
      place->bytes_sent += rail.bytes_sent.get();
      place->bytes_received += rail.bytes_received.get();
      place->failures += rail.failures.get();
      place->rebuilds += rail.repairs.get();
      place->detours += rail.detours.get();
      place->links_down += rail.links_down.get();
    }
  }
}

void add_packets(Shard& shard, std::vector<PacketSnapshot>& packets) {
  for (uint32_t i = 0; i < shard.fabric_count(); ++i) {
    const transport::PacketCounters* const counters = shard.fabric(i).packets();
    if (counters == nullptr) continue;
    const std::string name(shard.fabric(i).name());
    auto place = std::find_if(packets.begin(), packets.end(), [&name](const PacketSnapshot& known) {
      return known.fabric == name;
    });
    if (place == packets.end()) {
      packets.emplace_back().fabric = name;
      place = packets.end() - 1;
    }
    place->sent += counters->sent.get();
    place->received += counters->received.get();
    place->repeated += counters->repeated.get();
    place->duplicate += counters->duplicate.get();
    place->malformed += counters->malformed.get();
    place->stale += counters->stale.get();
    place->foreign += counters->foreign.get();
    place->handed_over += counters->handed_over.get();
    place->dropped += counters->dropped.get();
    place->no_buffer += counters->no_buffer.get();
  }
}

double nic_imbalance(const std::vector<NicSnapshot>& nics) {
  uint64_t total = 0;
  uint64_t largest = 0;
  for (const NicSnapshot& nic : nics) {
    total += nic.bytes_sent + nic.bytes_received;
    largest = std::max(largest, nic.bytes_sent + nic.bytes_received);
  }
  if (total == 0) return 1;
  return static_cast<double>(largest) * static_cast<double>(nics.size()) /
         static_cast<double>(total);
}

}  // namespace phub::hub
