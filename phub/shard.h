// THE hot loop: one core of the hub with the chunks it owns.
//
// poll() takes what the fabrics bring, notes it in the chunk states, and advances the chunks that
// can be: fold eight ranks, finish (mean, optimizer), write every rank's result, reply. No thread,
// no clock, no lock, no allocation. Everything else (jobs come and go, settings, questions) arrives
// as tasks. Source: Parameter Hub (SoCC 2018), "tall aggregation": one core takes a chunk through
// all its steps. Thread-safety: poll and the job calls on one thread; tasks().post and counters
// from any.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/counter.h"
#include "kernels/reduce.h"
#include "phub/shard_job.h"
#include "phub/snapshot.h"
#include "phub/tasks.h"
#include "transport/fabric.h"

namespace phub::hub {

struct ShardCounters {
  base::Counter pushes, pushed_bytes, results, replied_bytes, duplicates, stale, malformed;
  base::Counter polls, idle_polls, sleeps, busy_ns, chunks_owned;
};

// Instead of a rank: no single one is to blame.
constexpr uint32_t kNobody = kRankCountMax;

// What a shard tells the control plane: this rank's link or protocol is broken.
struct RankFault {
  JobId job = JobId{0};
  uint32_t epoch = 0;
  uint32_t rank = 0;
  bool is_lost = false;  // The link ended; else the rank sent what no correct worker sends.
  std::string reason;
};

// In fabric_of_rank: this rank has left and takes no part.
constexpr uint32_t kNoFabric = UINT32_MAX;

class Shard {
 public:
  Shard(uint32_t index, std::vector<std::unique_ptr<transport::Fabric>> fabrics,
        kernels::Stores stores, std::function<void(RankFault)> on_fault);

  // Handles what has arrived by `now` and advances some chunks. Returns the work done; 0: idle.
  size_t poll(base::Instant now);

  Tasks& tasks() { return tasks_; }
  uint32_t index() const { return index_; }
  uint32_t fabric_count() const { return static_cast<uint32_t>(fabrics_.size()); }
  transport::Fabric& fabric(uint32_t i) { return *fabrics_[i]; }
  const ShardCounters& counters() const { return counters_; }
  void count_sleep() { counters_.sleeps.add(1); }
  void count_busy(std::chrono::nanoseconds time) {
    counters_.busy_ns.add(static_cast<uint64_t>(time.count()));
  }

  // The rest: only from tasks, or in a test from the polling thread.

  // Adds a job and opens a link to every rank; `fabric_of_rank` indexes this shard's fabrics. The
  // offers come back by rank.
  Result<std::vector<transport::Bootstrap>> install(std::shared_ptr<const Epoch> epoch,
                                                    std::span<const uint32_t> fabric_of_rank);
  Status accept(JobId job, uint32_t rank, transport::Bootstrap answer);
  void start(JobId job);
  void remove(JobId job);  // Closes its links; unknown: nothing.
  void remove_rank(JobId job, uint32_t rank);
  void add_settings(JobId job, SettingsEntry entry);
  ShardJob* find(JobId job);
  // Rounds that wait for ranks, one entry per chunk.
  std::vector<LateSnapshot> late(JobId job) const;

 private:
  struct LinkOwner {
    ShardJob* job = nullptr;
    uint32_t rank = 0;
  };

  void on_event(uint32_t fabric, const transport::Event& event);
  void on_arrived(uint32_t fabric, const LinkOwner& owner, const transport::Event& event);
  void on_summand(uint32_t fabric, const LinkOwner& owner, const transport::Event& event,
                  exchange::Tag tag);
  void fault(ShardJob& job, uint32_t rank, std::string reason);
  void fail(ShardJob& job, uint32_t rank, bool is_lost, std::string reason);
  size_t advance_jobs();
  void open_clip_step(ShardJob& job);

  // shard_advance.cc: a chunk's way from summands to replies.
  void advance(ShardJob& job, uint32_t slot);
  void fold_ready_blocks(ShardJob& job, uint32_t slot);
  void fold_block(ShardJob& job, uint32_t slot);
  size_t gather_sources(ShardJob& job, uint32_t slot, uint32_t block);
  void release_block(ShardJob& job, uint32_t slot, uint32_t block);
  void stage_norm(ShardJob& job, uint32_t slot);
  void complete(ShardJob& job, uint32_t slot, float clip_scale);
  void finish_sum(ShardJob& job, uint32_t slot, float clip_scale);
  bool finish_broadcast(ShardJob& job, uint32_t slot);
  size_t gather_outputs(ShardJob& job, uint32_t slot);
  void reply_to_contributors(ShardJob& job, uint32_t slot, uint32_t round);
  void answer_pulls(ShardJob& job, uint32_t slot);
  void reply(ShardJob& job, uint32_t slot, uint32_t rank, uint32_t round, exchange::Verb verb,
             const std::byte* result, uint32_t version);
  void send_replies(uint32_t fabric);
  void flush_backlog(ShardJob& job);

  const uint32_t index_;
  std::vector<std::unique_ptr<transport::Fabric>> fabrics_;
  const kernels::Stores stores_;
  std::function<void(RankFault)> on_fault_;
  Tasks tasks_;
  ShardCounters counters_;
  base::Instant now_;
  std::vector<std::unique_ptr<ShardJob>> jobs_;
  std::vector<std::vector<LinkOwner>> owners_;  // By fabric, then by link.
  // Replies to be put when the poll ends, by fabric: one fence for many results.
  std::vector<std::vector<transport::Put>> replies_;
  size_t next_job_ = 0;
  std::array<const void*, kernels::kFoldSourcesMax> sources_{};
  std::array<void*, kRankCountMax + 1> outputs_{};
};

}  // namespace phub::hub
