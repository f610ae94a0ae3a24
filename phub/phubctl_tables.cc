#include "phub/phubctl_tables.h"

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "config/quantity.h"
#include "phub/table.h"

namespace phub::hub {
namespace {

using Json = nlohmann::json;
using config::print_bytes;
using config::print_duration_us;

// Runs `render` over the parsed text; the library's complaints become a Status.
template <typename Render>
Result<std::string> with_json(const std::string& text, Render render) {
  try {
    return render(Json::parse(text));
  } catch (const Json::exception& error) {
    return Status(Code::invalid_argument,
                  "the hub's answer is not understood (" + std::string(error.what()) +
                      "); is it a PHub of the same version? see phubctl version");
  }
}

std::string text_of(const Json& object, const char* name) {
  const Json& value = object.at(name);
  return printable(value.is_string() ? value.get<std::string>() : value.dump());
}
uint64_t number_of(const Json& object, const char* name) { return object.at(name).get<uint64_t>(); }
std::string bytes_of(const Json& object, const char* name) {
  return print_bytes(number_of(object, name));
}
std::string seconds_of(const Json& object, const char* name) {
  const double seconds = object.at(name).get<double>();
  return print_duration_us(seconds <= 0 ? 0 : static_cast<uint64_t>(seconds * 1e6));
}

// 1,234,567: counts are compared by eye.
std::string count_of(const Json& object, const char* name) {
  std::string digits = std::to_string(number_of(object, name));
  for (size_t place = digits.size(); place > 3; place -= 3) digits.insert(place - 3, 1, ',');
  return digits;
}

std::string ratio_of(const Json& object, const char* name) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.3f", object.at(name).get<double>());
  return text.data();
}

std::string ranks_of(const Json& job) {
  return text_of(job, "ranks_ready") + "/" + text_of(job, "rank_count");
}

std::string idle_of(const Json& shard) {
  const uint64_t polls = number_of(shard, "polls");
  if (polls == 0) return "-";
  return std::to_string(number_of(shard, "idle_polls") * 100 / polls) + " %";
}

std::string shards_text(const Json& shards) {
  Table table({">SHARD", ">CORE", ">NUMA", ">CHUNKS", ">PUSHES", ">PUSHED", ">RESULTS", ">REPLIED",
               ">DUPLICATES", ">STALE", ">MALFORMED", ">IDLE POLLS", ">SLEEPS"});
  for (const Json& shard : shards) {
    const bool is_pinned = shard.at("core").get<int>() >= 0;
    table.add({text_of(shard, "shard"), is_pinned ? text_of(shard, "core") : "any",
               text_of(shard, "numa_node"), count_of(shard, "chunks_owned"),
               count_of(shard, "pushes"), bytes_of(shard, "pushed_bytes"),
               count_of(shard, "results"), bytes_of(shard, "replied_bytes"),
               count_of(shard, "duplicates"), count_of(shard, "stale"),
               count_of(shard, "malformed"), idle_of(shard), count_of(shard, "sleeps")});
  }
  return table.text();
}

// Nothing where the hub drives none itself.
std::string nics_text(const Json& hub) {
  const Json& nics = hub.at("nics");
  if (nics.empty()) return "";
  Table table({"NIC", ">SENT", ">RECEIVED", ">FAILURES", ">REBUILDS", ">DETOURS", ">DOWN"});
  for (const Json& nic : nics) {
    table.add({text_of(nic, "nic"), bytes_of(nic, "bytes_sent"), bytes_of(nic, "bytes_received"),
               count_of(nic, "failures"), count_of(nic, "rebuilds"), count_of(nic, "detours"),
               count_of(nic, "links_down")});
  }
  return table.text() + "NICs, max/mean " + ratio_of(hub, "nic_imbalance") + "\n\n";
}

std::string jobs_text(const Json& jobs) {
  if (jobs.empty()) return "no jobs\n";
  Table table({"JOB", "STATE", ">READY", ">EPOCH", ">TENSORS", ">ELEMENTS", ">CHUNKS", ">MAX/MEAN",
               ">ROUNDS", ">MEMORY", "LAST FAILURE"});
  for (const Json& job : jobs) {
    const std::string failure = text_of(job, "last_failure");
    table.add({text_of(job, "name"), text_of(job, "state"), ranks_of(job), text_of(job, "epoch"),
               count_of(job, "tensor_count"), count_of(job, "element_count"),
               count_of(job, "chunk_count"), ratio_of(job, "imbalance"), count_of(job, "rounds"),
               bytes_of(job.at("memory"), "total_bytes"), failure.empty() ? "-" : failure});
  }
  return table.text();
}

std::string job_text(const Json& job) {
  const Json& memory = job.at("memory");
  const std::string failure = text_of(job, "last_failure");
  std::string text;
  const auto line = [&](const char* name, const std::string& value) {
    std::string left = name;
    left.resize(14, ' ');
    text += left + value + "\n";
  };
  line("job", text_of(job, "name"));
  line("state", text_of(job, "state") + ", " + ranks_of(job) + " ranks ready, epoch " +
                    text_of(job, "epoch"));
  line("model", count_of(job, "element_count") + " elements in " + count_of(job, "tensor_count") +
                    " tensors, " + count_of(job, "chunk_count") + " chunks of " +
                    count_of(job, "chunk_elements"));
  line("max/mean", ratio_of(job, "imbalance"));
  line("rounds", count_of(job, "rounds"));
  line("memory", bytes_of(memory, "total_bytes") + ": slots " + bytes_of(memory, "slot_bytes") +
                     ", results " + bytes_of(memory, "result_bytes") + ", accumulators " +
                     bytes_of(memory, "accumulator_bytes") + ", optimizer " +
                     bytes_of(memory, "optimizer_bytes") + ", tables " +
                     bytes_of(memory, "table_bytes") + ", links " + bytes_of(memory, "link_bytes") +
                     ", control " + bytes_of(memory, "control_bytes"));
  line("last failure", failure.empty() ? "none" : failure);

  Table table({">RANK", "STATE", ">PROCESS", "HOST", "FABRIC"});
  for (const Json& rank : job.at("ranks")) {
    table.add({text_of(rank, "rank"), text_of(rank, "state"), text_of(rank, "process"),
               text_of(rank, "host"), text_of(rank, "fabric")});
  }
  return text + "\n" + table.text();
}

std::string late_text(const Json& document) {
  const Json& late = document.at("late");
  if (late.empty()) return "nobody is late\n";
  Table table({">TENSOR", "NAME", ">ROUND", ">SINCE", "MISSING RANKS"});
  for (const Json& one : late) {
    std::string ranks;
    for (const Json& rank : one.at("missing_ranks")) {
      ranks += (ranks.empty() ? "" : ", ") + rank.dump();
    }
    table.add({text_of(one, "tensor"), text_of(one, "tensor_name"), text_of(one, "round"),
               seconds_of(one, "since_seconds"), ranks});
  }
  return table.text();
}

}  // namespace

Result<std::string> status_table(const std::string& json) {
  return with_json(json, [](const Json& hub) {
    const bool is_draining = hub.at("is_draining").get<bool>();
    return "phubd " + text_of(hub, "version") + " on " + text_of(hub, "host") + ", " +
           text_of(hub, "isa") + ", up " + seconds_of(hub, "uptime_seconds") + ", " +
           (is_draining ? "draining" : "serving") + "\nmemory " +
           bytes_of(hub, "memory_used_bytes") + " of " + bytes_of(hub, "memory_limit_bytes") +
           ", jobs " + std::to_string(hub.at("jobs").size()) + " of " + text_of(hub, "jobs_max") +
           ", sessions " + count_of(hub, "sessions_accepted") + " accepted, " +
           count_of(hub, "sessions_refused") + " refused\n\n" + shards_text(hub.at("shards")) +
           "\n" + nics_text(hub) + jobs_text(hub.at("jobs"));
  });
}

Result<std::string> jobs_table(const std::string& json) {
  return with_json(json, [](const Json& document) { return jobs_text(document.at("jobs")); });
}

Result<std::string> job_table(const std::string& json) { return with_json(json, job_text); }

Result<std::string> late_table(const std::string& json) { return with_json(json, late_text); }

Result<std::string> created_text(const std::string& json) {
  return with_json(json, [](const Json& job) {
    std::string text = "created job " + text_of(job, "name") + " for " +
                       text_of(job, "rank_count") + " ranks, chunks of " +
                       text_of(job, "chunk_elements") + " elements\n";
    if (job.contains("secret")) {
      text += "secret " + text_of(job, "secret") + "\nIt is shown only now: give it to the job's " +
              "ranks as PHUB_SECRET or in the file PHUB_SECRET_FILE.\n";
    }
    return text;
  });
}

Result<std::string> done_text(const std::string& json) {
  return with_json(json, [](const Json& reply) { return text_of(reply, "done") + "\n"; });
}

Result<std::string> reload_text(const std::string& json) {
  return with_json(json, [](const Json& reload) {
    std::string text;
    const auto change_text = [](const Json& change) {
      return text_of(change, "option") + ": " + text_of(change, "from") + " -> " +
             text_of(change, "to");
    };
    for (const Json& change : reload.at("applied")) text += change_text(change) + "\n";
    for (const Json& change : reload.at("needs_restart")) {
      text += change_text(change) + " needs a restart; still " + text_of(change, "from") + "\n";
    }
    return text.empty() ? std::string("the configuration is as before\n") : text;
  });
}

Result<std::string> log_level_text(const std::string& json) {
  return with_json(json, [](const Json& reply) { return text_of(reply, "level") + "\n"; });
}

Result<std::string> version_text(const std::string& json) {
  return with_json(json, [](const Json& hub) {
    return "phubd " + text_of(hub, "version") + ", protocol " + text_of(hub, "protocol") + ", " +
           text_of(hub, "isa") + ", on " + text_of(hub, "host") + "\n";
  });
}

std::string error_text(const std::string& json) {
  const Result<std::string> text = with_json(json, [](const Json& reply) {
    return text_of(reply.at("error"), "code") + ": " + text_of(reply.at("error"), "message");
  });
  return text.ok() ? *text : printable(json);
}

}  // namespace phub::hub
