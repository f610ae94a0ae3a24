#include "phub/metrics.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace phub::hub {
namespace {

// Writes HELP and TYPE once per metric, then its samples.
class Page {
 public:
  void metric(std::string_view name, std::string_view type, std::string_view help) {
    name_ = "phub_" + std::string(name);
    text_ += "# HELP " + name_ + " " + std::string(help) + "\n";
    text_ += "# TYPE " + name_ + " " + std::string(type) + "\n";
  }
  // labels: `job="a",state="running"`, or nothing.
  void sample(const std::string& labels, uint64_t value) { add(labels, std::to_string(value)); }
  void sample(const std::string& labels, double value) {
    std::array<char, 40> digits;
    std::snprintf(digits.data(), digits.size(), "%.9g", value);
    add(labels, digits.data());
  }
  std::string finish() && { return std::move(text_); }

 private:
  void add(const std::string& labels, const std::string& value) {
    text_ += name_ + (labels.empty() ? "" : "{" + labels + "}") + " " + value + "\n";
  }
  std::string name_;
  std::string text_;
};

std::string label(std::string_view name, std::string_view value) {
  return std::string(name) + "=\"" + escape_label(value) + "\"";
}
std::string job_label(const JobSnapshot& job) { return label("job", job.name); }

struct ShardCounter {
  std::string_view name;
  uint64_t ShardSnapshot::*field;
  std::string_view help;
};
constexpr std::array kShardCounters{
    ShardCounter{"shard_pushes_total", &ShardSnapshot::pushes, "Chunk pushes accepted."},
    ShardCounter{"shard_pushed_bytes_total", &ShardSnapshot::pushed_bytes,
                 "Bytes of accepted chunk pushes."},
    ShardCounter{"shard_results_total", &ShardSnapshot::results, "Chunk rounds completed."},
    ShardCounter{"shard_replied_bytes_total", &ShardSnapshot::replied_bytes,
                 "Bytes of results sent to ranks."},
    ShardCounter{"shard_duplicates_total", &ShardSnapshot::duplicates,
                 "Copies of pushes that were dropped."},
    ShardCounter{"shard_stale_total", &ShardSnapshot::stale,
                 "Pushes of the round just finished, dropped."},
    ShardCounter{"shard_malformed_total", &ShardSnapshot::malformed,
                 "Puts that made no sense; their job failed."},
    ShardCounter{"shard_polls_total", &ShardSnapshot::polls, "Polls of the shard's loop."},
    ShardCounter{"shard_idle_polls_total", &ShardSnapshot::idle_polls, "Polls that found no work."},
    ShardCounter{"shard_sleeps_total", &ShardSnapshot::sleeps,
                 "Times the shard slept for want of work."},
};

// A counter that is not whole.
void add_busy(const HubSnapshot& hub, Page& page) {
  page.metric("shard_busy_seconds_total", "counter", "Seconds the shard spent in polls with work.");
  for (const ShardSnapshot& shard : hub.shards) {
    page.sample(label("shard", std::to_string(shard.shard)), shard.busy_seconds);
  }
}

void add_hub(const HubSnapshot& hub, Page& page) {
  page.metric("build_info", "gauge", "Always 1; the labels tell version, instruction set, host.");
  page.sample(
      label("version", hub.version) + "," + label("isa", hub.isa) + "," + label("host", hub.host),
      uint64_t{1});
  page.metric("uptime_seconds", "gauge", "Seconds since the hub started.");
  page.sample("", hub.uptime_seconds);
  page.metric("draining", "gauge", "1 while the hub takes no new jobs and ranks.");
  page.sample("", uint64_t{hub.is_draining});
  page.metric("memory_limit_bytes", "gauge", "Memory that all jobs together may use.");
  page.sample("", hub.memory_limit_bytes);
  page.metric("memory_used_bytes", "gauge", "Memory that jobs use now.");
  page.sample("", hub.memory_used_bytes);
  page.metric("jobs_limit", "gauge", "Jobs the hub takes at once.");
  page.sample("", uint64_t{hub.jobs_max});
  page.metric("jobs", "gauge", "Jobs now.");
  page.sample("", uint64_t{hub.jobs.size()});
  page.metric("sessions_accepted_total", "counter", "Ranks that connected with a valid proof.");
  page.sample("", hub.sessions_accepted);
  page.metric("sessions_refused_total", "counter",
              "Connections refused: secret, version, bytes, limits or TLS.");
  page.sample("", hub.sessions_refused);
  page.metric("jobs_failed_total", "counter",
              "Times that a job's epoch ended in an error: a rank lost, ranks that disagree.");
  page.sample("", hub.jobs_failed);
}

void add_shards(const HubSnapshot& hub, Page& page) {
  page.metric("shard_info", "gauge", "Always 1; the labels tell the shard's core and NUMA node.");
  for (const ShardSnapshot& shard : hub.shards) {
    page.sample(label("shard", std::to_string(shard.shard)) + "," +
                    label("core", std::to_string(shard.core)) + "," +
                    label("numa_node", std::to_string(shard.numa_node)),
                uint64_t{1});
  }
  page.metric("shard_chunks", "gauge", "Chunks that the shard owns now, of all jobs.");
  for (const ShardSnapshot& shard : hub.shards) {
    page.sample(label("shard", std::to_string(shard.shard)), shard.chunks_owned);
  }
  for (const ShardCounter& counter : kShardCounters) {
    page.metric(counter.name, "counter", counter.help);
    for (const ShardSnapshot& shard : hub.shards) {
      page.sample(label("shard", std::to_string(shard.shard)), shard.*counter.field);
    }
  }
}

struct NicCounter {
  std::string_view name;
  uint64_t NicSnapshot::*field;
  std::string_view help;
};
constexpr std::array kNicCounters{
    NicCounter{"nic_failures_total", &NicSnapshot::failures, "Queue pairs that went into error."},
    NicCounter{"nic_rebuilds_total", &NicSnapshot::rebuilds,
               "Queue pairs that were made anew after an error and work."},
    NicCounter{"nic_detours_total", &NicSnapshot::detours,
               "Chunks that left by another NIC because this one was broken."},
};

void add_nic_samples(const HubSnapshot& hub, Page& page) {
  page.metric("nic_bytes_total", "counter", "Bytes of chunks over the NIC, by direction.");
  for (const NicSnapshot& nic : hub.nics) {
    page.sample(label("nic", nic.name) + "," + label("direction", "in"), nic.bytes_received);
    page.sample(label("nic", nic.name) + "," + label("direction", "out"), nic.bytes_sent);
  }
  page.metric("nic_up", "gauge", "1 while all of the NIC's queue pairs work.");
  for (const NicSnapshot& nic : hub.nics) {
    page.sample(label("nic", nic.name), uint64_t{nic.links_down == 0});
  }
  for (const NicCounter& counter : kNicCounters) {
    page.metric(counter.name, "counter", counter.help);
    for (const NicSnapshot& nic : hub.nics) page.sample(label("nic", nic.name), nic.*counter.field);
  }
  page.metric("nic_imbalance_ratio", "gauge", "Bytes of the busiest NIC over the mean.");
  if (!hub.nics.empty()) page.sample("", nic_imbalance(hub.nics));
}

struct PacketCounter {
  std::string_view name;
  uint64_t PacketSnapshot::*field;
  std::string_view help;
};
constexpr std::array kPacketCounters{
    PacketCounter{"packets_repeated_total", &PacketSnapshot::repeated, "Packets sent again."},
    PacketCounter{"packets_duplicate_total", &PacketSnapshot::duplicate,
                  "Packets received again, dropped."},
    PacketCounter{"packets_malformed_total", &PacketSnapshot::malformed,
                  "Packets of another kind or with a wrong checksum, dropped."},
    PacketCounter{"packets_stale_total", &PacketSnapshot::stale,
                  "Packets of no link here, or of a former one, dropped."},
    PacketCounter{"packets_foreign_total", &PacketSnapshot::foreign,
                  "Packets to somebody else, dropped."},
    PacketCounter{"packets_handed_over_total", &PacketSnapshot::handed_over,
                  "Packets that one shard received for another."},
    PacketCounter{"packets_dropped_total", &PacketSnapshot::dropped,
                  "Packets dropped because a device or a shard took no more."},
    PacketCounter{"packets_no_buffer_total", &PacketSnapshot::no_buffer,
                  "Times that a packet had to wait for a free buffer."},
};

void add_packet_samples(const HubSnapshot& hub, Page& page) {
  page.metric("packets_total", "counter", "Packets of the fabric, by direction.");
  for (const PacketSnapshot& packets : hub.packets) {
    const std::string fabric = label("fabric", packets.fabric) + ",";
    page.sample(fabric + label("direction", "in"), packets.received);
    page.sample(fabric + label("direction", "out"), packets.sent);
  }
  for (const PacketCounter& counter : kPacketCounters) {
    page.metric(counter.name, "counter", counter.help);
    for (const PacketSnapshot& packets : hub.packets) {
      page.sample(label("fabric", packets.fabric), packets.*counter.field);
    }
  }
}

// States are one series each, 1 for the present one, so that an alarm can name a state.
void add_job_states(const HubSnapshot& hub, Page& page) {
  page.metric("job_state", "gauge", "1 for the job's present state, 0 for the others.");
  for (const JobSnapshot& job : hub.jobs) {
    for (const JobState state : {JobState::forming, JobState::connecting, JobState::running}) {
      page.sample(job_label(job) + "," + label("state", to_string(state)),
                  uint64_t{job.state == state});
    }
  }
  page.metric("job_ranks", "gauge", "Ranks of the job by state.");
  for (const JobSnapshot& job : hub.jobs) {
    for (const RankState state :
         {RankState::absent, RankState::joining, RankState::ready, RankState::left}) {
      const auto count =
          std::count_if(job.ranks.begin(), job.ranks.end(),
                        [&](const RankSnapshot& rank) { return rank.state == state; });
      page.sample(job_label(job) + "," + label("state", to_string(state)),
                  static_cast<uint64_t>(count));
    }
  }
}

void add_job_numbers(const HubSnapshot& hub, Page& page) {
  page.metric("job_rounds_total", "counter", "Chunk rounds the job completed.");
  for (const JobSnapshot& job : hub.jobs) page.sample(job_label(job), job.rounds);
  page.metric("job_pushed_bytes_total", "counter", "Bytes of chunk pushes accepted of the job.");
  for (const JobSnapshot& job : hub.jobs) page.sample(job_label(job), job.pushed_bytes);
  page.metric("job_replied_bytes_total", "counter", "Bytes of results sent to the job's ranks.");
  for (const JobSnapshot& job : hub.jobs) page.sample(job_label(job), job.replied_bytes);
  page.metric("job_epoch", "gauge", "The job's epoch; it grows when tensors or ranks change.");
  for (const JobSnapshot& job : hub.jobs) page.sample(job_label(job), uint64_t{job.epoch});
  page.metric("job_elements", "gauge", "Elements of all the job's tensors.");
  for (const JobSnapshot& job : hub.jobs) page.sample(job_label(job), job.element_count);
  page.metric("job_chunks", "gauge", "Chunks of all the job's tensors.");
  for (const JobSnapshot& job : hub.jobs) page.sample(job_label(job), uint64_t{job.chunk_count});
  page.metric("job_imbalance_ratio", "gauge", "Elements of the fullest shard over the mean.");
  for (const JobSnapshot& job : hub.jobs) page.sample(job_label(job), job.imbalance);
  page.metric("job_memory_bytes", "gauge", "Memory of the job at the hub, by purpose.");
  for (const JobSnapshot& job : hub.jobs) {
    const std::pair<std::string_view, uint64_t> parts[] = {
        {"slots", job.memory.slot_bytes},
        {"results", job.memory.result_bytes},
        {"accumulators", job.memory.accumulator_bytes},
        {"optimizer", job.memory.optimizer_bytes},
        {"tables", job.memory.table_bytes},
        {"links", job.memory.link_bytes},
        {"control", job.memory.control_bytes}};
    for (const auto& [part, bytes] : parts) {
      page.sample(job_label(job) + "," + label("part", part), bytes);
    }
  }
}

void add_lateness(std::span<const JobLateness> lateness, Page& page) {
  page.metric("job_late_tensors", "gauge", "Tensors whose round waits for missing ranks.");
  for (const JobLateness& late : lateness) {
    page.sample(label("job", late.job), uint64_t{late.tensor_count});
  }
  page.metric("job_late_seconds", "gauge", "Age of the oldest round that waits for missing ranks.");
  for (const JobLateness& late : lateness) page.sample(label("job", late.job), late.seconds_max);
}

}  // namespace

JobLateness summarize(const std::string& job, const std::vector<LateSnapshot>& late) {
  JobLateness result{job, static_cast<uint32_t>(late.size()), 0};
  for (const LateSnapshot& one : late) {
    result.seconds_max = std::max(result.seconds_max, one.since_seconds);
  }
  return result;
}

std::string to_metrics(const HubSnapshot& hub, std::span<const JobLateness> lateness) {
  Page page;
  add_hub(hub, page);
  add_shards(hub, page);
  add_busy(hub, page);
  add_nic_samples(hub, page);
  add_packet_samples(hub, page);
  add_job_states(hub, page);
  add_job_numbers(hub, page);
  add_lateness(lateness, page);
  return std::move(page).finish();
}

std::string escape_label(std::string_view value) {
  std::string escaped;
  for (const char c : value) {
    if (c == '\\')
      escaped += "\\\\";
    else if (c == '"')
      escaped += "\\\"";
    else if (c == '\n')
      escaped += "\\n";
    else
      escaped += c;
  }
  return escaped;
}

}  // namespace phub::hub
