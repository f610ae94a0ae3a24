// A hub that only says what a test has put in, for tests of the operator's door.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "phub/admin.h"
#include "phub/program_admin.h"

namespace phub::hub {

inline HubSnapshot make_snapshot() {
  HubSnapshot hub;
  hub.version = "0.1.0";
  hub.host = "node7";
  hub.isa = "AVX2";
  hub.uptime_seconds = 12.5;
  hub.memory_limit_bytes = uint64_t{8} << 30;
  hub.memory_used_bytes = uint64_t{1} << 30;
  hub.jobs_max = 64;
  hub.sessions_accepted = 4;
  hub.sessions_refused = 1;
  ShardSnapshot shard;
  shard.core = 3;
  shard.numa_node = 1;
  shard.chunks_owned = 100;
  shard.pushes = 1234567;
  shard.pushed_bytes = uint64_t{5} << 30;
  shard.results = 617;
  shard.polls = 200;
  shard.idle_polls = 50;
  hub.shards.push_back(shard);
  JobSnapshot job;
  job.name = "resnet";
  job.state = JobState::running;
  job.rank_count = 2;
  job.epoch = 1;
  job.tensor_count = 161;
  job.element_count = 25557032;
  job.chunk_elements = 8192;
  job.chunk_count = 3205;
  job.imbalance = 1.001;
  job.memory.table_bytes = 4096;
  job.rounds = 99;
  job.ranks = {{0, RankState::ready, 4711, "node1", "shm"},
               {1, RankState::left, 4712, "node2", "shm"}};
  hub.jobs.push_back(job);
  return hub;
}

class FakeAdmin : public Admin {
 public:
  Result<HubSnapshot> snapshot() override { return hub; }
  Result<std::vector<LateSnapshot>> late(const std::string& job) override {
    if (job != "resnet") return Status(Code::not_found, "job \"" + job + "\": not there");
    return lateness;
  }
  Result<std::string> map_text(const std::string& job) override {
    if (job != "resnet") return Status(Code::not_found, "job \"" + job + "\": not there");
    return std::string(
        "2 chunks of 1 tensors on 1 shards, max/mean 1.0000\n"
        "chunk tensor first_element elements shard core numa nic slot name\n"
        "0 0 0 8192 0 -1 0 - 0 fc 1.weight\n"
        "1 0 8192 64 0 -1 0 - 1 fc 1.weight\n");
  }
  Status create_job(const JobSpec& spec) override {
    const std::scoped_lock lock(mutex);
    created.push_back(spec);
    return answer;
  }
  Status remove_job(const std::string& job, const std::string& reason) override {
    const std::scoped_lock lock(mutex);
    if (job != "resnet") return Status(Code::not_found, "job \"" + job + "\": not there");
    removed.push_back(job + ": " + reason);
    return answer;
  }
  Status drain() override {
    ++drain_count;
    return answer;
  }
  Status undrain() override {
    ++undrain_count;
    return answer;
  }
  Status stop() override {
    ++stop_count;
    return answer;
  }

  HubSnapshot hub = make_snapshot();
  std::vector<LateSnapshot> lateness = {{5, "fc1.weight", 17, 3.25, {1}}};
  Status answer;  // Of everything that changes something.
  std::mutex mutex;
  std::vector<JobSpec> created;
  std::vector<std::string> removed;
  std::atomic<int> drain_count{0};
  std::atomic<int> undrain_count{0};
  std::atomic<int> stop_count{0};
};

class FakeProgram : public ProgramAdmin {
 public:
  Result<config::HubReload> reload() override {
    config::HubReload reload;
    reload.applied = {{"jobs_max", "5", "7"}};
    reload.needs_restart = {{"shards", "1", "2"}};
    return reload;
  }
  base::LogLevel log_level() override { return level; }
  void set_log_level(base::LogLevel new_level) override { level = new_level; }

  std::atomic<base::LogLevel> level{base::LogLevel::info};
};

}  // namespace phub::hub
