// What the hub says about itself: plain values, copied out of the running hub for operators.
// Rendered as JSON and as text by http_server, as Prometheus text by metrics.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "exchange/map.h"
#include "exchange/memory_plan.h"

namespace phub::hub {

// Counters of one shard since the hub started. All only grow.
struct ShardSnapshot {
  uint32_t shard = 0;
  int core = -1;
  uint32_t numa_node = 0;
  uint64_t chunks_owned = 0;  // Of all jobs, now.
  uint64_t pushes = 0;        // Chunk pushes accepted.
  uint64_t pushed_bytes = 0;
  uint64_t results = 0;  // Chunk rounds completed.
  uint64_t replied_bytes = 0;
  uint64_t duplicates = 0;  // Copies that were dropped.
  uint64_t stale = 0;       // Pushes of the round just finished: dropped.
  uint64_t malformed = 0;   // Puts that made no sense; their job failed.
  uint64_t polls = 0;
  uint64_t idle_polls = 0;
  uint64_t sleeps = 0;
  double busy_seconds = 0;  // In polls that found work.
};

// A NIC of the hub that its fabrics drive themselves (RDMA), over all shards, since the hub
// started.
struct NicSnapshot {
  std::string name;
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  uint64_t failures = 0;    // Queue pairs that went into error,
  uint64_t rebuilds = 0;    // and that were made anew and work.
  uint64_t detours = 0;     // Puts that left by another NIC, because this one was broken.
  uint64_t links_down = 0;  // Queue pairs that do not work just now.
};
// The busiest NIC's bytes over the mean: 1 is perfect, and what there is before any traffic.
double nic_imbalance(const std::vector<NicSnapshot>& nics);

// What a fabric of the hub that mends a lossy network (dpdk) has seen of its packets, over all
// shards, since the hub started; as transport::PacketCounters.
struct PacketSnapshot {
  std::string fabric;
  uint64_t sent = 0;
  uint64_t received = 0;
  uint64_t repeated = 0;
  uint64_t duplicate = 0;
  uint64_t malformed = 0;
  uint64_t stale = 0;
  uint64_t foreign = 0;
  uint64_t handed_over = 0;
  uint64_t dropped = 0;
  uint64_t no_buffer = 0;
};

enum class RankState : uint8_t { absent, joining, ready, left };
std::string_view to_string(RankState state);

struct RankSnapshot {
  uint32_t rank = 0;
  RankState state = RankState::absent;
  int64_t process = 0;
  std::string host;
  std::string fabric;
};

// A tensor whose round cannot complete because ranks are missing.
struct LateSnapshot {
  uint32_t tensor = 0;
  std::string tensor_name;
  uint32_t round = 0;
  double since_seconds = 0;  // Since the first rank's push of that round.
  std::vector<uint32_t> missing_ranks;
};

enum class JobState : uint8_t { forming, connecting, running };
std::string_view to_string(JobState state);

struct JobSnapshot {
  std::string name;
  JobState state = JobState::forming;
  uint32_t rank_count = 0;
  uint32_t epoch = 0;
  uint32_t tensor_count = 0;
  uint64_t element_count = 0;
  uint32_t chunk_elements = 0;
  uint32_t chunk_count = 0;
  uint32_t hub = 0;        // This hub's number among the job's hubs,
  uint32_t hub_count = 1;  // of which there are so many.
  double imbalance = 1;
  exchange::MemoryPlan memory;
  uint64_t rounds = 0;        // Chunk rounds completed over all shards, in this epoch.
  uint64_t pushed_bytes = 0;  // Likewise.
  uint64_t replied_bytes = 0;
  std::string last_failure;  // Empty if none.
  std::vector<RankSnapshot> ranks;
};

class Shard;
ShardSnapshot snapshot_of(const Shard& shard, const exchange::ShardPlace& place);

// Adds what the shard's fabrics count of their rails to those of the same name.
void add_nics(Shard& shard, std::vector<NicSnapshot>& nics);

// Likewise for the packets of those that count any.
void add_packets(Shard& shard, std::vector<PacketSnapshot>& packets);

struct HubSnapshot {
  std::string version;
  std::string host;
  std::string isa;
  double uptime_seconds = 0;
  bool is_draining = false;
  uint64_t memory_limit_bytes = 0;
  uint64_t memory_used_bytes = 0;
  uint32_t jobs_max = 0;
  uint64_t sessions_accepted = 0;
  uint64_t sessions_refused = 0;  // Wrong secret, version, bytes, limits, TLS.
  uint64_t jobs_failed = 0;       // Times that a job's epoch ended in an error.
  std::vector<ShardSnapshot> shards;
  std::vector<NicSnapshot> nics;
  std::vector<PacketSnapshot> packets;
  std::vector<JobSnapshot> jobs;
};

}  // namespace phub::hub
