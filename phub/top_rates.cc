#include "phub/top_rates.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "phub/table.h"

namespace phub::hub {
namespace {

using Json = nlohmann::json;

// Of a document, or why it is not understood.
template <typename Answer, typename Read>
Result<Answer> with_json(const std::string& text, Read read) {
  try {
    return read(Json::parse(text));
  } catch (const Json::exception& error) {
    return Status(Code::invalid_argument,
                  "the hub's answer is not understood (" + std::string(error.what()) +
                      "); is it a PHub of the same version? see phubctl version");
  }
}

std::string text_of(const Json& object, const char* name) {
  return printable(object.at(name).get<std::string>());
}
uint64_t count_of(const Json& object, const char* name) { return object.at(name).get<uint64_t>(); }

TopSample::Job read_job(const Json& json) {
  TopSample::Job job;
  job.name = text_of(json, "name");
  job.state = text_of(json, "state");
  job.ranks_ready = json.at("ranks_ready").get<uint32_t>();
  job.rank_count = json.at("rank_count").get<uint32_t>();
  job.epoch = json.at("epoch").get<uint32_t>();
  job.chunk_count = count_of(json, "chunk_count");
  job.rounds = count_of(json, "rounds");
  job.pushed_bytes = count_of(json, "pushed_bytes");
  job.replied_bytes = count_of(json, "replied_bytes");
  return job;
}

TopSample::Shard read_shard(const Json& json) {
  TopSample::Shard shard;
  shard.shard = json.at("shard").get<uint32_t>();
  shard.core = json.at("core").get<int>();
  shard.pushes = count_of(json, "pushes");
  shard.pushed_bytes = count_of(json, "pushed_bytes");
  shard.replied_bytes = count_of(json, "replied_bytes");
  shard.sleeps = count_of(json, "sleeps");
  shard.busy_seconds = json.at("busy_seconds").get<double>();
  return shard;
}

TopSample::Nic read_nic(const Json& json) {
  return {text_of(json, "nic"), count_of(json, "bytes_sent"), count_of(json, "bytes_received"),
          count_of(json, "links_down")};
}

// seconds > 0.
double per_second(uint64_t before, uint64_t after, double seconds) {
  return static_cast<double>(after >= before ? after - before : after) / seconds;
}

JobRates job_rates(const TopSample::Job& before, const TopSample::Job& after, double seconds) {
  JobRates rates;
  if (after.chunk_count > 0) {
    rates.rounds =
        per_second(before.rounds, after.rounds, seconds) / static_cast<double>(after.chunk_count);
  }
  rates.pushed_bytes = per_second(before.pushed_bytes, after.pushed_bytes, seconds);
  rates.replied_bytes = per_second(before.replied_bytes, after.replied_bytes, seconds);
  return rates;
}

ShardRates shard_rates(const TopSample::Shard& before, const TopSample::Shard& after,
                       double seconds) {
  ShardRates rates;
  rates.pushes = per_second(before.pushes, after.pushes, seconds);
  rates.pushed_bytes = per_second(before.pushed_bytes, after.pushed_bytes, seconds);
  rates.replied_bytes = per_second(before.replied_bytes, after.replied_bytes, seconds);
  rates.sleeps = per_second(before.sleeps, after.sleeps, seconds);
  rates.busy_share = std::clamp((after.busy_seconds - before.busy_seconds) / seconds, 0.0, 1.0);
  return rates;
}

}  // namespace

Result<TopSample> read_sample(const std::string& status_json) {
  return with_json<TopSample>(status_json, [](const Json& hub) {
    TopSample sample;
    sample.title = "phubd " + text_of(hub, "version") + " on " + text_of(hub, "host") + ", " +
                   text_of(hub, "isa");
    sample.is_draining = hub.at("is_draining").get<bool>();
    sample.uptime_seconds = hub.at("uptime_seconds").get<double>();
    sample.memory_used_bytes = count_of(hub, "memory_used_bytes");
    sample.memory_limit_bytes = count_of(hub, "memory_limit_bytes");
    sample.jobs_max = hub.at("jobs_max").get<uint32_t>();
    for (const Json& job : hub.at("jobs")) sample.jobs.push_back(read_job(job));
    for (const Json& shard : hub.at("shards")) sample.shards.push_back(read_shard(shard));
    for (const Json& nic : hub.at("nics")) sample.nics.push_back(read_nic(nic));
    return sample;
  });
}

Result<std::optional<TopSample::Late>> read_late(const std::string& late_json, double seconds_min) {
  using Answer = std::optional<TopSample::Late>;
  return with_json<Answer>(late_json, [seconds_min](const Json& document) {
    Answer longest;
    for (const Json& entry : document.at("late")) {
      const double seconds = entry.at("since_seconds").get<double>();
      if (seconds < std::max(seconds_min, longest ? longest->since_seconds : 0.0)) continue;
      longest = TopSample::Late{seconds, text_of(entry, "tensor_name"),
                                entry.at("missing_ranks").get<std::vector<uint32_t>>()};
    }
    return longest;
  });
}

TopRates rates_between(const TopSample& before, const TopSample& after) {
  TopRates rates;
  rates.jobs.resize(after.jobs.size());
  rates.shards.resize(after.shards.size());
  rates.nics.resize(after.nics.size());
  const double seconds = after.uptime_seconds - before.uptime_seconds;
  if (seconds <= 0 || before.shards.size() != after.shards.size()) return rates;
  for (size_t i = 0; i < after.shards.size(); ++i) {
    rates.shards[i] = shard_rates(before.shards[i], after.shards[i], seconds);
  }
  for (size_t i = 0; i < after.jobs.size(); ++i) {
    for (const TopSample::Job& job : before.jobs) {
      if (job.name == after.jobs[i].name) rates.jobs[i] = job_rates(job, after.jobs[i], seconds);
    }
  }
  for (size_t i = 0; i < after.nics.size(); ++i) {
    const TopSample::Nic& nic = after.nics[i];
    for (const TopSample::Nic& old : before.nics) {
      if (old.name != nic.name) continue;
      rates.nics[i] = NicRates{per_second(old.bytes_sent, nic.bytes_sent, seconds),
                               per_second(old.bytes_received, nic.bytes_received, seconds)};
    }
  }
  return rates;
}

}  // namespace phub::hub
