#include "phub/top_text.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "config/quantity.h"
#include "phub/table.h"

namespace phub::hub {
namespace {

using config::print_bytes;
using config::print_duration_us;

constexpr const char* kUnknown = "-";
constexpr size_t kRanksNamed = 8;

std::string digits(double value, int decimals) {
  std::array<char, 40> text;
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

// Three digits that count.
std::string short_number(double value) {
  return digits(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

std::string seconds_text(double seconds) {
  return print_duration_us(seconds <= 0 ? 0 : static_cast<uint64_t>(seconds * 10) * 100'000);
}

std::string late_text(const TopSample::Late& late) {
  std::string text = late.ranks.size() == 1 ? "rank" : "ranks";
  for (size_t i = 0; i < std::min(kRanksNamed, late.ranks.size()); ++i) {
    text += (i == 0 ? " " : ", ") + std::to_string(late.ranks[i]);
  }
  if (late.ranks.size() > kRanksNamed) {
    text += " and " + std::to_string(late.ranks.size() - kRanksNamed) + " more";
  }
  return text + " for " + seconds_text(late.since_seconds) + " on " + late.tensor;
}

std::string jobs_text(const TopSample& sample, const TopRates& rates) {
  if (sample.jobs.empty()) return "no jobs\n";
  Table table({"JOB", "STATE", ">READY", ">EPOCH", ">ROUNDS/S", ">IN/S", ">OUT/S", "LATE"});
  for (size_t i = 0; i < sample.jobs.size(); ++i) {
    const TopSample::Job& job = sample.jobs[i];
    const std::optional<JobRates>& rate = rates.jobs[i];
    table.add({job.name, job.state,
               std::to_string(job.ranks_ready) + "/" + std::to_string(job.rank_count),
               std::to_string(job.epoch), rate ? short_number(rate->rounds) : kUnknown,
               rate ? rate_text(rate->pushed_bytes) : kUnknown,
               rate ? rate_text(rate->replied_bytes) : kUnknown,
               job.late ? late_text(*job.late) : kUnknown});
  }
  return table.text();
}

std::string shards_text(const TopSample& sample, const TopRates& rates) {
  Table table({">SHARD", ">CORE", ">BUSY", ">IN/S", ">OUT/S", ">PUSHES/S", ">SLEEPS/S"});
  for (size_t i = 0; i < sample.shards.size(); ++i) {
    const TopSample::Shard& shard = sample.shards[i];
    const std::optional<ShardRates>& rate = rates.shards[i];
    table.add({std::to_string(shard.shard), shard.core < 0 ? "any" : std::to_string(shard.core),
               rate ? digits(rate->busy_share * 100, 0) + " %" : kUnknown,
               rate ? rate_text(rate->pushed_bytes) : kUnknown,
               rate ? rate_text(rate->replied_bytes) : kUnknown,
               rate ? short_number(rate->pushes) : kUnknown,
               rate ? short_number(rate->sleeps) : kUnknown});
  }
  return table.text();
}

// Nothing where the hub drives none itself.
std::string nics_text(const TopSample& sample, const TopRates& rates) {
  if (sample.nics.empty()) return "";
  Table table({"NIC", ">IN/S", ">OUT/S", "STATE"});
  for (size_t i = 0; i < sample.nics.size(); ++i) {
    const TopSample::Nic& nic = sample.nics[i];
    const std::optional<NicRates>& rate = rates.nics[i];
    table.add({nic.name, rate ? rate_text(rate->bytes_received) : kUnknown,
               rate ? rate_text(rate->bytes_sent) : kUnknown,
               nic.links_down == 0 ? "up" : std::to_string(nic.links_down) + " queue pairs down"});
  }
  return "\n" + table.text();
}

std::string totals_text(const TopRates& rates) {
  ShardRates total;
  for (const std::optional<ShardRates>& rate : rates.shards) {
    if (!rate) return "";
    total.pushed_bytes += rate->pushed_bytes;
    total.replied_bytes += rate->replied_bytes;
  }
  return ", in " + rate_text(total.pushed_bytes) + "/s, out " + rate_text(total.replied_bytes) +
         "/s";
}

}  // namespace

std::string top_text(const TopSample& sample, const TopRates& rates) {
  return sample.title + ", up " + seconds_text(sample.uptime_seconds) + ", " +
         (sample.is_draining ? "draining" : "serving") + "\nmemory " +
         print_bytes(sample.memory_used_bytes) + " of " + print_bytes(sample.memory_limit_bytes) +
         ", jobs " + std::to_string(sample.jobs.size()) + " of " + std::to_string(sample.jobs_max) +
         totals_text(rates) + "\n\n" + jobs_text(sample, rates) + "\n" +
         shards_text(sample, rates) + nics_text(sample, rates);
}

std::string top_json(const TopSample& sample, const TopRates& rates) {
  using Json = nlohmann::ordered_json;
  const auto number = [](const auto& rate, auto field) {
    return rate ? Json((*rate).*field) : Json();
  };
  Json document = {{"jobs", Json::array()}, {"shards", Json::array()}};
  for (size_t i = 0; i < sample.jobs.size(); ++i) {
    const TopSample::Job& job = sample.jobs[i];
    const std::optional<JobRates>& rate = rates.jobs[i];
    Json entry = {{"name", job.name},
                  {"state", job.state},
                  {"rounds_per_second", number(rate, &JobRates::rounds)},
                  {"pushed_bytes_per_second", number(rate, &JobRates::pushed_bytes)},
                  {"replied_bytes_per_second", number(rate, &JobRates::replied_bytes)},
                  {"late_ranks", Json::array()}};
    if (job.late) entry["late_ranks"] = job.late->ranks;
    if (job.late) entry["late_seconds"] = job.late->since_seconds;
    document["jobs"].push_back(entry);
  }
  for (size_t i = 0; i < sample.shards.size(); ++i) {
    const std::optional<ShardRates>& rate = rates.shards[i];
    document["shards"].push_back(
        {{"shard", sample.shards[i].shard},
         {"busy_share", number(rate, &ShardRates::busy_share)},
         {"pushes_per_second", number(rate, &ShardRates::pushes)},
         {"pushed_bytes_per_second", number(rate, &ShardRates::pushed_bytes)},
         {"replied_bytes_per_second", number(rate, &ShardRates::replied_bytes)},
         {"sleeps_per_second", number(rate, &ShardRates::sleeps)}});
  }
  for (size_t i = 0; i < sample.nics.size(); ++i) {
    const std::optional<NicRates>& rate = rates.nics[i];
    document["nics"].push_back(
        {{"nic", sample.nics[i].name},
         {"links_down", sample.nics[i].links_down},
         {"sent_bytes_per_second", number(rate, &NicRates::bytes_sent)},
         {"received_bytes_per_second", number(rate, &NicRates::bytes_received)}});
  }
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string fit(std::string_view text, size_t columns, size_t rows) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, std::min(end, columns)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  std::string result;
  const bool is_cut = lines.size() > rows;
  const size_t shown = is_cut ? rows - 1 : lines.size();
  for (size_t i = 0; i < shown; ++i) result += std::string(lines[i]) + "\n";
  if (is_cut) {
    const std::string rest = "... " + std::to_string(lines.size() - shown) + " more lines";
    result += rest.substr(0, columns) + "\n";
  }
  return result;
}

std::string rate_text(double bytes_per_second) {
  constexpr std::array kUnits{"B", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes_per_second >= 999.5 && unit + 1 < kUnits.size()) {
    bytes_per_second /= 1000;
    ++unit;
  }
  return (unit == 0 ? digits(bytes_per_second, 0) : short_number(bytes_per_second)) + " " +
         kUnits[unit];
}

}  // namespace phub::hub
