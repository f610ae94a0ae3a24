// `phubctl top`: what a hub counted, twice, and the rates in between. Plain values, no clock: a
// sample's time is the hub's own, so that a slow connection bends no rate.
#pragma once

#include <phub/status.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace phub::hub {

// One look at a hub: its /v1/status, with each job's longest wait out of /v1/jobs/NAME/late.
struct TopSample {
  struct Late {
    double since_seconds = 0;
    std::string tensor;
    std::vector<uint32_t> ranks;
  };
  struct Job {
    std::string name;
    std::string state;
    uint32_t ranks_ready = 0;
    uint32_t rank_count = 0;
    uint32_t epoch = 0;
    uint64_t chunk_count = 0;
    uint64_t rounds = 0;  // Of chunks.
    uint64_t pushed_bytes = 0;
    uint64_t replied_bytes = 0;
    std::optional<Late> late;
  };
  struct Shard {
    uint32_t shard = 0;
    int core = -1;
    uint64_t pushes = 0;
    uint64_t pushed_bytes = 0;
    uint64_t replied_bytes = 0;
    uint64_t sleeps = 0;
    double busy_seconds = 0;
  };
  struct Nic {
    std::string name;
    uint64_t bytes_sent = 0;
    uint64_t bytes_received = 0;
    uint64_t links_down = 0;
  };
  std::string title;  // "phubd 0.1.0 on node7, AVX2"
  bool is_draining = false;
  double uptime_seconds = 0;
  uint64_t memory_used_bytes = 0;
  uint64_t memory_limit_bytes = 0;
  uint32_t jobs_max = 0;
  std::vector<Job> jobs;
  std::vector<Shard> shards;
  std::vector<Nic> nics;
};

// invalid_argument: not what a hub of this version sends.
Result<TopSample> read_sample(const std::string& status_json);
// The longest of the waits that last at least `seconds_min`; nothing: there is none.
Result<std::optional<TopSample::Late>> read_late(const std::string& late_json, double seconds_min);

struct JobRates {
  double rounds = 0;  // Exchanges of the whole model, per second.
  double pushed_bytes = 0;
  double replied_bytes = 0;
};
struct ShardRates {
  double pushes = 0;
  double pushed_bytes = 0;
  double replied_bytes = 0;
  double sleeps = 0;
  double busy_share = 0;  // 0 to 1.
};
struct NicRates {
  double bytes_sent = 0;
  double bytes_received = 0;
};
// In the order of the later sample's jobs, shards and NICs. Nothing: not known yet.
struct TopRates {
  std::vector<std::optional<JobRates>> jobs;
  std::vector<std::optional<ShardRates>> shards;
  std::vector<std::optional<NicRates>> nics;
};

// Counters that have gone back (a new epoch of a job) count from zero. A hub that was started anew
// in between, and jobs that were not there before, have no rates yet.
TopRates rates_between(const TopSample& before, const TopSample& after);

}  // namespace phub::hub
