// A job as the control plane sees it: who is in it, what they agreed on, how far it is.
// Thread-safety: none; the control thread.
#pragma once

#include <phub/types.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "exchange/memory_plan.h"
#include "exchange/session.h"
#include "phub/epoch.h"
#include "phub/snapshot.h"

namespace phub::hub {

// A connection of a worker; 0: none.
enum class SessionId : uint64_t {};

struct Member {
  RankState state = RankState::absent;
  SessionId session = SessionId{0};
  int64_t process = 0;
  std::string host;
  uint32_t fabric = 0;              // Index into the hub's fabrics.
  bool has_proposed = false;        // Its table for the next epoch has come.
  bool has_answered = false;        // All its links are up.
  std::optional<uint64_t> barrier;  // Waiting at a barrier, with this id.
  std::string departure;  // Absent after having been here, while the job forms: who, and why.
};

struct Job {
  JobId id = JobId{0};  // A new one after every failure: old answers are recognized.
  JobSpec spec;         // The secret stays empty; key guards the job.
  std::string key;
  bool is_kept = false;  // Created by an operator: stays when its ranks go.
  JobState state = JobState::forming;
  std::vector<Member> members;
  uint32_t epoch_number = 0;  // Of the epoch that runs; 0: none.
  bool is_installed = false;  // Shards hold its epoch.
  bool is_removing = false;   // Shards have been told to forget it.

  // What the first proposer of the next epoch said; the others must say the same.
  std::vector<TensorSpec> proposal;
  uint32_t proposer = 0;
  exchange::HubShape proposed_hubs;  // All hubs of the job, this one among them:
  uint32_t proposed_hub = 0;
  exchange::ChunkMap proposed_map;
  uint32_t answers_missing = 0;

  std::shared_ptr<const Epoch> epoch;                // Agreed last; null before the first.
  std::vector<std::shared_ptr<TensorState>> states;  // Kept over epochs and failures.
  exchange::MemoryPlan memory;
  std::optional<StepSettings> settings;  // Rank 0's last; a new epoch goes on with them.
  std::string last_failure;
  base::Instant waiting_since;  // For ranks to join, or to propose the next epoch.
  base::Instant idle_since;     // When the last session went; counts only without sessions.

  // "rank 2 (process 4711 on node7)".
  std::string describe(uint32_t rank) const;
  // "rank 2", "ranks 2, 3 and 5 more".
  static std::string describe_ranks(const std::vector<uint32_t>& ranks);
  bool has_sessions() const;
  // Ranks that must take part in the next epoch and have not proposed.
  std::vector<uint32_t> missing_proposals() const;
  bool holds_state() const { return !states.empty(); }
  JobSnapshot snapshot(std::span<const std::string> fabric_names) const;
};

// Empty if a and b are the same table; else the first difference, as a sentence that names both.
std::string table_difference(std::span<const TensorSpec> a, uint32_t rank_a,
                             std::span<const TensorSpec> b, uint32_t rank_b);

// The shards' late rounds as one list, the longest wait first, at most one per tensor.
std::vector<LateSnapshot> merge_late(std::vector<std::vector<LateSnapshot>> by_shard);

// A sentence for the operator about rounds that wait: the longest five.
std::string late_text(const Job& job, std::span<const LateSnapshot> late);

}  // namespace phub::hub
