#include "phub/snapshot.h"

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

}  // namespace phub::hub
