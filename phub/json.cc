#include "phub/json.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "exchange/session.h"

namespace phub::hub {
namespace {

using Json = nlohmann::ordered_json;  // Fields stay in the order a person reads them.

std::string write(const Json& document) {
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json memory_of(const exchange::MemoryPlan& memory) {
  return {{"slot_bytes", memory.slot_bytes},
          {"result_bytes", memory.result_bytes},
          {"accumulator_bytes", memory.accumulator_bytes},
          {"optimizer_bytes", memory.optimizer_bytes},
          {"table_bytes", memory.table_bytes},
          {"link_bytes", memory.link_bytes},
          {"control_bytes", memory.control_bytes},
          {"total_bytes", memory.total_bytes()}};
}

Json shard_of(const ShardSnapshot& shard) {
  return {{"shard", shard.shard},
          {"core", shard.core},
          {"numa_node", shard.numa_node},
          {"chunks_owned", shard.chunks_owned},
          {"pushes", shard.pushes},
          {"pushed_bytes", shard.pushed_bytes},
          {"results", shard.results},
          {"replied_bytes", shard.replied_bytes},
          {"duplicates", shard.duplicates},
          {"stale", shard.stale},
          {"malformed", shard.malformed},
          {"polls", shard.polls},
          {"idle_polls", shard.idle_polls},
          {"sleeps", shard.sleeps},
          {"busy_seconds", shard.busy_seconds}};
}

Json nic_of(const NicSnapshot& nic) {
  return {{"nic", nic.name},
          {"bytes_sent", nic.bytes_sent},
          {"bytes_received", nic.bytes_received},
          {"failures", nic.failures},
          {"rebuilds", nic.rebuilds},
          {"detours", nic.detours},
          {"links_down", nic.links_down}};
}

Json packets_of(const PacketSnapshot& packets) {
  return {{"fabric", packets.fabric},
          {"sent", packets.sent},
          {"received", packets.received},
          {"repeated", packets.repeated},
          {"duplicate", packets.duplicate},
          {"malformed", packets.malformed},
          {"stale", packets.stale},
          {"foreign", packets.foreign},
          {"handed_over", packets.handed_over},
          {"dropped", packets.dropped},
          {"no_buffer", packets.no_buffer}};
}

Json ranks_of(const JobSnapshot& job) {
  Json ranks = Json::array();
  for (const RankSnapshot& rank : job.ranks) {
    ranks.push_back({{"rank", rank.rank},
                     {"state", to_string(rank.state)},
                     {"process", rank.process},
                     {"host", rank.host},
                     {"fabric", rank.fabric}});
  }
  return ranks;
}

Json summary_of(const JobSnapshot& job) {
  const auto ready = std::count_if(job.ranks.begin(), job.ranks.end(),
                                   [](const auto& rank) { return rank.state == RankState::ready; });
  const auto joined = std::count_if(job.ranks.begin(), job.ranks.end(), [](const auto& rank) {
    return rank.state == RankState::ready || rank.state == RankState::joining;
  });
  return {{"name", job.name},
          {"state", to_string(job.state)},
          {"rank_count", job.rank_count},
          {"ranks_joined", joined},
          {"ranks_ready", ready},
          {"epoch", job.epoch},
          {"tensor_count", job.tensor_count},
          {"element_count", job.element_count},
          {"chunk_elements", job.chunk_elements},
          {"chunk_count", job.chunk_count},
          {"hub", job.hub},
          {"hub_count", job.hub_count},
          {"imbalance", job.imbalance},
          {"rounds", job.rounds},
          {"pushed_bytes", job.pushed_bytes},
          {"replied_bytes", job.replied_bytes},
          {"last_failure", job.last_failure},
          {"memory", memory_of(job.memory)}};
}

// A number where the whole text is one, else the text.
Json value_of(const std::string& text) {
  int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc() && rest == end) return number;
  return text;
}

// Rows of words under a line of columns; the last column is the rest of the line, which may hold
// spaces or look like a number.
Json read_row(const std::vector<std::string>& columns, const std::string& line) {
  std::istringstream words(line);
  Json row = Json::object();
  for (size_t i = 0; i + 1 < columns.size(); ++i) {
    std::string word;
    words >> word;
    row[columns[i]] = value_of(word);
  }
  std::string rest;
  words.get();
  std::getline(words, rest);
  if (!columns.empty()) row[columns.back()] = rest;
  return row;
}

std::vector<std::string> split_words(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

}  // namespace

std::string to_json(const HubSnapshot& hub) {
  Json document = {{"version", hub.version},
                   {"host", hub.host},
                   {"isa", hub.isa},
                   {"uptime_seconds", hub.uptime_seconds},
                   {"is_draining", hub.is_draining},
                   {"memory_limit_bytes", hub.memory_limit_bytes},
                   {"memory_used_bytes", hub.memory_used_bytes},
                   {"jobs_max", hub.jobs_max},
                   {"sessions_accepted", hub.sessions_accepted},
                   {"sessions_refused", hub.sessions_refused},
                   {"jobs_failed", hub.jobs_failed},
                   {"shards", Json::array()},
                   {"nic_imbalance", nic_imbalance(hub.nics)},
                   {"nics", Json::array()},
                   {"packets", Json::array()},
                   {"jobs", Json::array()}};
  for (const ShardSnapshot& shard : hub.shards) document["shards"].push_back(shard_of(shard));
  for (const NicSnapshot& nic : hub.nics) document["nics"].push_back(nic_of(nic));
  for (const PacketSnapshot& one : hub.packets) document["packets"].push_back(packets_of(one));
  for (const JobSnapshot& job : hub.jobs) document["jobs"].push_back(summary_of(job));
  return write(document);
}

std::string to_json(const JobSnapshot& job) {
  Json document = summary_of(job);
  document["ranks"] = ranks_of(job);
  return write(document);
}

std::string to_json(const std::vector<JobSnapshot>& jobs) {
  Json document = {{"jobs", Json::array()}};
  for (const JobSnapshot& job : jobs) document["jobs"].push_back(summary_of(job));
  return write(document);
}

std::string to_json(const std::string& job, const std::vector<LateSnapshot>& late) {
  Json document = {{"job", job}, {"late", Json::array()}};
  for (const LateSnapshot& one : late) {
    document["late"].push_back({{"tensor", one.tensor},
                                {"tensor_name", one.tensor_name},
                                {"round", one.round},
                                {"since_seconds", one.since_seconds},
                                {"missing_ranks", one.missing_ranks}});
  }
  return write(document);
}

std::string version_to_json(const HubSnapshot& hub) {
  return write({{"version", hub.version},
                {"protocol", exchange::kProtocolVersion},
                {"isa", hub.isa},
                {"host", hub.host}});
}

std::string map_to_json(const std::string& job, std::string_view text) {
  std::istringstream lines{std::string(text)};
  std::string summary;
  std::string line;
  std::getline(lines, summary);
  std::getline(lines, line);
  Json document = {{"job", job}, {"summary", summary}};
  // "10 NICs, max/mean 1.0000", columns, and a line for each NIC.
  if (const size_t nics = line.find(" NICs, "); nics != std::string::npos) {
    document["nics_summary"] = line;
    document["nics"] = Json::array();
    const size_t count = std::strtoul(line.c_str(), nullptr, 10);
    std::getline(lines, line);
    const std::vector<std::string> columns = split_words(line);
    for (size_t i = 0; i < count && std::getline(lines, line); ++i) {
      document["nics"].push_back(read_row(columns, line));
      Json& last = document["nics"].back()[columns.back()];
      last = value_of(last.get<std::string>());
    }
    std::getline(lines, line);
  }
  document["chunks"] = Json::array();
  const std::vector<std::string> columns = split_words(line);
  while (std::getline(lines, line)) document["chunks"].push_back(read_row(columns, line));
  return write(document);
}

std::string done_to_json(const std::string& what) { return write({{"done", what}}); }

std::string created_to_json(const JobSpec& spec, bool is_secret_shown) {
  Json document = {{"name", spec.name},
                   {"rank_count", spec.rank_count},
                   {"chunk_elements", spec.chunk_elements}};
  if (is_secret_shown) document["secret"] = spec.secret;
  return write(document);
}

std::string to_json(const config::HubReload& reload) {
  const auto changes = [](const std::vector<config::OptionChange>& of) {
    Json list = Json::array();
    for (const config::OptionChange& change : of) {
      list.push_back({{"option", change.option}, {"from", change.from}, {"to", change.to}});
    }
    return list;
  };
  return write(
      {{"applied", changes(reload.applied)}, {"needs_restart", changes(reload.needs_restart)}});
}

std::string log_level_to_json(base::LogLevel level) { return write({{"level", to_string(level)}}); }

std::string error_to_json(const Status& status) {
  return write(
      {{"error", {{"code", phub::to_string(status.code())}, {"message", status.message()}}}});
}

}  // namespace phub::hub
