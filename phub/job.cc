#include "phub/job.h"

#include <algorithm>
#include <cstdio>

namespace phub::hub {
namespace {

std::string quoted(const std::string& name) { return "\"" + name + "\""; }

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f s", seconds);
  return text;
}

std::string spec_difference(const TensorSpec& a, const TensorSpec& b) {
  if (a.name != b.name) return "name " + quoted(a.name) + " against " + quoted(b.name);
  if (a.count != b.count) {
    return "count " + std::to_string(a.count) + " against " + std::to_string(b.count);
  }
  if (a.type != b.type) {
    return "type " + std::string(to_string(a.type)) + " against " + std::string(to_string(b.type));
  }
  if (a.op != b.op) {
    return "reduction " + std::string(to_string(a.op)) + " against " + std::string(to_string(b.op));
  }
  if (a.optimizer.kind != b.optimizer.kind) {
    return "optimizer " + std::string(to_string(a.optimizer.kind)) + " against " +
           std::string(to_string(b.optimizer.kind));
  }
  if (!(a.optimizer == b.optimizer)) return "optimizer options differ";
  if (a.priority != b.priority) {
    return "priority " + std::to_string(a.priority) + " against " + std::to_string(b.priority);
  }
  return "";
}

}  // namespace

std::string_view to_string(RankState state) {
  switch (state) {
    case RankState::absent:
      return "absent";
    case RankState::joining:
      return "joining";
    case RankState::ready:
      return "ready";
    case RankState::left:
      return "left";
  }
  return "unknown";
}

std::string_view to_string(JobState state) {
  switch (state) {
    case JobState::forming:
      return "forming";
    case JobState::connecting:
      return "connecting";
    case JobState::running:
      return "running";
  }
  return "unknown";
}

std::string Job::describe(uint32_t rank) const {
  const Member& member = members[rank];
  std::string text = "rank " + std::to_string(rank);
  if (member.process != 0) {
    text += " (process " + std::to_string(member.process) + " on " + member.host + ")";
  }
  return text;
}

std::string Job::describe_ranks(const std::vector<uint32_t>& ranks) {
  constexpr size_t kNamed = 8;
  std::string text = ranks.size() == 1 ? "rank" : "ranks";
  for (size_t i = 0; i < std::min(kNamed, ranks.size()); ++i) {
    text += (i == 0 ? " " : ", ") + std::to_string(ranks[i]);
  }
  if (ranks.size() > kNamed) text += " and " + std::to_string(ranks.size() - kNamed) + " more";
  return text;
}

bool Job::has_sessions() const {
  return std::any_of(members.begin(), members.end(),
                     [](const Member& member) { return member.session != SessionId{0}; });
}

std::vector<uint32_t> Job::missing_proposals() const {
  std::vector<uint32_t> missing;
  for (uint32_t rank = 0; rank < members.size(); ++rank) {
    if (members[rank].state != RankState::left && !members[rank].has_proposed) {
      missing.push_back(rank);
    }
  }
  return missing;
}

JobSnapshot Job::snapshot(std::span<const std::string> fabric_names) const {
  JobSnapshot result;
  result.name = spec.name;
  result.state = state;
  result.rank_count = spec.rank_count;
  result.epoch = epoch_number;
  result.chunk_elements = spec.chunk_elements;
  result.memory = memory;
  result.last_failure = last_failure;
  if (epoch != nullptr) {
    result.tensor_count = static_cast<uint32_t>(epoch->tensors.size());
    for (const TensorSpec& tensor : epoch->tensors) result.element_count += tensor.count;
    result.chunk_count = static_cast<uint32_t>(epoch->map.chunks().size());
    result.hub = epoch->hub;
    result.hub_count = exchange::hub_count(epoch->hubs);
    result.imbalance = epoch->map.imbalance();
    result.rounds = epoch->sum(&JobCounters::rounds);
    result.pushed_bytes = epoch->sum(&JobCounters::pushed_bytes);
    result.replied_bytes = epoch->sum(&JobCounters::replied_bytes);
  }
  for (uint32_t rank = 0; rank < members.size(); ++rank) {
    const Member& member = members[rank];
    const bool is_here = member.session != SessionId{0};
    result.ranks.push_back({rank, member.state, member.process, member.host,
                            is_here ? fabric_names[member.fabric] : ""});
  }
  return result;
}

std::string table_difference(std::span<const TensorSpec> a, uint32_t rank_a,
                             std::span<const TensorSpec> b, uint32_t rank_b) {
  const std::string ranks =
      " (rank " + std::to_string(rank_a) + " against rank " + std::to_string(rank_b) + ")";
  if (a.size() != b.size()) {
    return std::to_string(a.size()) + " tensors against " + std::to_string(b.size()) + ranks;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    const std::string difference = spec_difference(a[i], b[i]);
    if (!difference.empty()) {
      return "tensor " + std::to_string(i) + " " + quoted(a[i].name) + ": " + difference + ranks;
    }
  }
  return "";
}

std::string late_text(const Job& job, std::span<const LateSnapshot> late) {
  constexpr size_t kTold = 5;
  std::string text;
  for (size_t i = 0; i < std::min(kTold, late.size()); ++i) {
    const LateSnapshot& entry = late[i];
    if (i > 0) text += "; ";
    text += "tensor " + std::to_string(entry.tensor) + " " + quoted(entry.tensor_name) + " round " +
            std::to_string(entry.round) + ": ";
    text += entry.missing_ranks.size() == 1 ? job.describe(entry.missing_ranks[0])
                                            : Job::describe_ranks(entry.missing_ranks);
    text += entry.missing_ranks.size() == 1 ? " is missing since " : " are missing since ";
    text += seconds_text(entry.since_seconds);
  }
  if (late.size() > kTold) text += "; and " + std::to_string(late.size() - kTold) + " more tensors";
  return text;
}

}  // namespace phub::hub
