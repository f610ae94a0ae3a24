// `phub-perf exchange`: how fast gradients are exchanged, checked to the last bit.
#include <algorithm>
#include <cstdio>
#include <fstream>

#include "base/try.h"
#include "exchange/memory_plan.h"
#include "perf/case.h"
#include "perf/commands.h"
#include "perf/dpdk_roof.h"
#include "perf/machine.h"
#include "perf/medium.h"
#include "perf/roof.h"
#include "perf/row.h"
#include "perf/statistics.h"
#include "perf/system.h"
#include "perf/tcp_roof.h"

namespace phub::perf {
namespace {

std::vector<Flag> exchange_flags() {
  std::vector<Flag> flags = case_flags();
  flags.push_back({"vs", "systems to compare with: openmpi, gloo", ""});
  flags.push_back({"only-vs", "leave PHub out", "", true});
  flags.push_back({"rounds", "timed rounds per repeat", "10"});
  flags.push_back({"warmup", "rounds before them", "3"});
  flags.push_back({"repeats", "runs of every system, taking turns", "5"});
  flags.push_back({"timeout", "seconds for one run", "300"});
  flags.push_back({"idle-ms", "watch the idle hub for so long at the end of a run", "0"});
  flags.push_back({"no-roof", "do not measure the machine's bound", "", true});
  flags.push_back({"algorithm", "of the systems compared with; auto: their best", "auto"});
  flags.push_back({"phubd", "the hub's program", ""});
  flags.push_back({"json", "append one JSON object a row to this file", ""});
  return flags;
}

// One system's part in one case.
struct Contender {
  System* system = nullptr;
  std::string algorithm;
  Outcome total;
  uint32_t rounds = 0;  // Of one run: those that its traffic is of.
};

void add(Outcome& total, const Outcome& part) {
  total.times_us.insert(total.times_us.end(), part.times_us.begin(), part.times_us.end());
  total.wrong += part.wrong;
  total.hub_start_bytes = part.hub_start_bytes;
  total.hub_warm_bytes = part.hub_warm_bytes;
  total.hub_end_bytes = part.hub_end_bytes;
  total.hub_traffic = part.hub_traffic;
  total.worker_traffic = part.worker_traffic;
  total.hub_idle_percent = std::max(total.hub_idle_percent, part.hub_idle_percent);
}

// The algorithm with the best median in a short run of each.
Result<std::string> best_algorithm(System& system, const Case& one, const std::string& wanted,
                                   const RunOptions& options) {
  const std::vector<std::string> names = system.algorithms();
  if (names.size() == 1 || wanted == "default") return names.front();
  if (wanted != "auto") return wanted;
  RunOptions trial = options;
  trial.rounds = std::max<uint32_t>(3, options.rounds / 4);
  trial.warmup = std::min<uint32_t>(2, options.warmup);
  std::string best;
  double best_us = 0;
  Status last;
  for (const std::string& name : names) {
    const Result<Outcome> outcome = system.run(one, name, trial);
    if (!outcome.ok()) {
      last = outcome.status();
      continue;
    }
    const double us = median(outcome->times_us);
    std::printf("# trial: %s %s %.1f us\n", system.name().c_str(), name.c_str(), us);
    if (best.empty() || us < best_us) {
      best = name;
      best_us = us;
    }
  }
  if (best.empty()) return last;
  return best;
}

// Of all hubs together.
uint64_t plan_bytes(const Case& one) {
  exchange::HubShape shape;
  shape.shards.resize(one.shards);
  const exchange::HubShape hubs =
      exchange::join_hubs(std::vector<exchange::HubShape>(one.form.hubs, shape));
  const std::vector<TensorSpec> specs = tensor_specs(one);
  const auto map = exchange::ChunkMap::build(specs, one.chunk_elements(), hubs);
  if (!map.ok()) return 0;
  uint64_t sum = 0;
  for (uint32_t hub = 0; hub < one.form.hubs; ++hub) {
    sum += exchange::plan_memory(specs, *map, exchange::shards_of(hubs, hub), one.workers,
                                 one.fabric == "shm")
               .total_bytes();
  }
  return sum;
}

Row make_row(const Case& one, const Contender& contender, double roof_us, const Machine& machine) {
  const bool is_phub = contender.system->name() == "phub";
  Row row;
  row.system = contender.system->name();
  row.algorithm = contender.algorithm;
  if (is_phub && one.form.hubs + (one.form.is_colocated ? 1u : 0u) > 1) {
    row.algorithm = std::string(name_of(one.form)) + ", hubs: " + std::to_string(one.form.hubs);
  }
  row.fabric = contender.system->fabric(one);
  row.model = one.model.name;
  row.bytes = one.bytes();
  row.count = one.model.element_count();
  row.tensors = is_phub ? static_cast<uint32_t>(one.model.tensors.size()) : 1;
  row.dtype = to_string(one.type);
  row.op = to_string(one.op);
  row.optimizer = to_string(one.optimizer.kind);
  row.workers = one.workers;
  if (is_phub) {
    row.stores = one.stores;
    row.hubs = one.form.hubs;
    row.form = name_of(one.form);
    row.shards = one.shards;
    row.chunk_bytes = one.chunk_bytes;
    row.hub_plan_bytes = plan_bytes(one);
  }
  row.compute_us = static_cast<double>(one.compute_us_total());
  row.samples = contender.total.times_us.size();
  row.time_us_min = quantile(contender.total.times_us, 0);
  row.time_us_p50 = median(contender.total.times_us);
  row.time_us_p99 = quantile(contender.total.times_us, 0.99);
  row.roof_us = roof_us;
  row.wrong = contender.total.wrong;
  row.hub_start_bytes = contender.total.hub_start_bytes;
  row.hub_warm_bytes = contender.total.hub_warm_bytes;
  row.hub_end_bytes = contender.total.hub_end_bytes;
  row.hub_idle_percent = contender.total.hub_idle_percent;
  if (is_phub && row.samples > 0) {
    const LinkBytes measured = link_bytes(one.form, contender.total.hub_traffic,
                                          contender.total.worker_traffic, contender.rounds);
    row.hub_host_bytes = measured.hub_host;
    row.worker_host_bytes = measured.worker_host;
  }
  row.revision = machine.revision;
  row.machine = machine.cpu + ", " + std::to_string(machine.cores) + " cores, " + machine.kernel;
  derive(row);
  return row;
}

std::string worker_note(const Row& row) {
  if (row.worker_host_bytes == 0) return "";
  char text[64];
  std::snprintf(text, sizeof(text), ", a worker's %.1f MB", row.worker_host_bytes / 1e6);
  return text;
}

void print_notes(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    if (row.system != "phub") {
      if (rows.front().system == "phub" && rows.front().time_us_p50 > 0) {
        std::printf("# phub is %.2f x %s (p50)\n", row.time_us_p50 / rows.front().time_us_p50,
                    row.system.c_str());
      }
      continue;
    }
    std::printf("# hub memory (KiB): plan %llu, took %llu after warm-up, %llu at the end\n",
                static_cast<unsigned long long>(row.hub_plan_bytes >> 10),
                static_cast<unsigned long long>((row.hub_warm_bytes - row.hub_start_bytes) >> 10),
                static_cast<unsigned long long>((row.hub_end_bytes - row.hub_start_bytes) >> 10));
    if (row.hub_host_bytes > 0) {
      std::printf("# %s: the busiest hub's host carries %.1f MB an exchange, both directions%s\n",
                  row.form.c_str(), row.hub_host_bytes / 1e6, worker_note(row).c_str());
    }
    if (row.hub_idle_percent >= 0) {
      std::printf("# idle hub: %.2f %% of a core with %u workers connected\n", row.hub_idle_percent,
                  row.workers);
    }
  }
}

class Sweep {
 public:
  Status open(const Arguments& arguments) {
    PHUB_TRY_ASSIGN(cases_, parse_cases(arguments));
    const std::vector<std::string> fabrics = arguments.list("fabric");
    if (std::find(fabrics.begin(), fabrics.end(), "all") != fabrics.end()) fabrics_here(missing_);
    PHUB_TRY_ASSIGN(const uint64_t rounds, arguments.number("rounds", 1, 1'000'000));
    PHUB_TRY_ASSIGN(const uint64_t warmup, arguments.number("warmup", 0, 1'000'000));
    PHUB_TRY_ASSIGN(repeats_, arguments.number("repeats", 1, 1000));
    PHUB_TRY_ASSIGN(const uint64_t timeout, arguments.number("timeout", 1, 86'400));
    PHUB_TRY_ASSIGN(const uint64_t idle_ms, arguments.number("idle-ms", 0, 600'000));
    options_.rounds = static_cast<uint32_t>(rounds);
    options_.warmup = static_cast<uint32_t>(warmup);
    options_.timeout = std::chrono::seconds(timeout);
    options_.idle_time = std::chrono::milliseconds(idle_ms);
    has_roof_ = !arguments.is_set("no-roof");
    algorithm_ = arguments.text("algorithm");
    if (!arguments.is_set("only-vs")) systems_.push_back(make_phub_system(arguments.text("phubd")));
    for (const std::string& name : arguments.list("vs")) {
      PHUB_TRY_ASSIGN(std::unique_ptr<System> system, make_baseline(name));
      systems_.push_back(std::move(system));
    }
    if (systems_.empty()) return Status(Code::invalid_argument, "nothing to measure: give --vs");
    if (!arguments.text("json").empty()) {
      json_.open(arguments.text("json"), std::ios::app);
      if (!json_) {
        return Status(Code::not_found, "--json = " + arguments.text("json") + ": cannot be opened");
      }
    }
    return Status();
  }

  // Wrong elements over all rows.
  Result<uint64_t> run() {
    print_header();
    uint64_t wrong = 0;
    for (const Case& one : cases_) {
      PHUB_TRY_ASSIGN(const std::vector<Row> rows, run_case(one));
      for (const Row& row : rows) {
        std::fputs(table_line(row).c_str(), stdout);
        if (json_.is_open()) json_ << to_json_line(row) << std::endl;
        wrong += row.wrong;
      }
      print_notes(rows);
      std::fflush(stdout);
    }
    std::printf("# wrong elements: %llu, %s\n", static_cast<unsigned long long>(wrong),
                wrong == 0 ? "OK" : "FAILED");
    return wrong;
  }

 private:
  void print_header() const {
    std::printf("# %s, %u cores, %.1f GiB, %s, PHub %s\n", machine_.cpu.c_str(), machine_.cores,
                static_cast<double>(machine_.memory_bytes) / (1 << 30), machine_.kernel.c_str(),
                machine_.revision.c_str());
    std::printf(
        "# %u rounds after %u, %llu repeats in alternating order; time: the slowest rank, "
        "between barriers\n",
        options_.rounds, options_.warmup, static_cast<unsigned long long>(repeats_));
    std::printf(
        "# busbw: algbw * 2(n-1)/n. hubbw: algbw * n, taken in and given out. roof: n reads "
        "and n streaming writes per element. GB = 1e9 bytes\n");
    for (const std::string& line : missing_) std::printf("# left out: %s\n", line.c_str());
    std::fputs(table_header().c_str(), stdout);
    std::fflush(stdout);
  }

  Result<std::vector<Row>> run_case(const Case& one) {
    std::vector<Contender> contenders;
    for (const std::unique_ptr<System>& system : systems_) {
      const Status supported = system->supports(one);
      if (!supported.ok()) {
        std::printf("# skipped: %s\n", supported.message().c_str());
        continue;
      }
      const std::string label = system->name();
      Result<std::string> algorithm = best_algorithm(*system, one, algorithm_, options_);
      if (!algorithm.ok()) return algorithm.status().with_context(label);
      contenders.push_back({system.get(), *algorithm, {}, options_.rounds});
    }
    std::vector<double> roofs_us;
    PHUB_TRY(take_turns(one, contenders, roofs_us));
    std::vector<Row> rows;
    for (const Contender& contender : contenders) {
      rows.push_back(make_row(one, contender, median(roofs_us), machine_));
    }
    return rows;
  }

  // The bound of the case's fabric.
  Result<std::function<Result<double>()>> make_roof(const Case& one) const {
    using Measure = std::function<Result<double>()>;
    if (!has_roof_) return Measure();
    // Colocated, part of the bytes takes no network: the pump is no bound.
    if (one.form.is_colocated) return Measure();
    if (one.fabric == "verbs") return Measure();  // puts_bench and ib_write_bw: docs/rdma.md.
    if (one.fabric == "dpdk") {
      return Measure([one] { return dpdk_roof_us(one.bytes(), one.workers, one.frame_bytes); });
    }
    const uint32_t threads = std::min(one.shards * one.form.hubs, machine_.cores);
    if (one.fabric != "shm") {  // TLS has the bound of what it runs over.
      PHUB_TRY_ASSIGN(std::shared_ptr<TcpRoof> roof,
                      TcpRoof::create(one.bytes(), one.workers, threads, one.chunk_bytes));
      return Measure([roof] { return roof->measure_us(); });
    }
    PHUB_TRY_ASSIGN(HubRoof made, HubRoof::create(one.bytes(), one.workers, threads));
    const auto roof = std::make_shared<HubRoof>(std::move(made));
    return Measure([roof]() -> Result<double> { return roof->measure_us(); });
  }

  // Forwards in one repeat, backwards in the next: a drift of the machine meets all alike.
  Status take_turns(const Case& one, std::vector<Contender>& contenders,
                    std::vector<double>& roofs_us) {
    PHUB_TRY_ASSIGN(const auto measure_roof, make_roof(one));
    for (uint64_t repeat = 0; repeat < repeats_; ++repeat) {
      if (measure_roof) {
        PHUB_TRY_ASSIGN(const double us, measure_roof());
        roofs_us.push_back(us);
      }
      for (size_t i = 0; i < contenders.size(); ++i) {
        Contender& next = contenders[repeat % 2 == 0 ? i : contenders.size() - 1 - i];
        const Result<Outcome> outcome = next.system->run(one, next.algorithm, options_);
        if (!outcome.ok()) return outcome.status().with_context(next.system->name());
        add(next.total, *outcome);
      }
    }
    return Status();
  }

  const Machine machine_ = this_machine();
  std::vector<Case> cases_;
  std::vector<std::string> missing_;  // Of --fabric all: why not.
  RunOptions options_;
  uint64_t repeats_ = 5;
  bool has_roof_ = true;
  std::string algorithm_;
  std::vector<std::unique_ptr<System>> systems_;
  std::ofstream json_;
};

}  // namespace

int run_exchange(Words words) {
  const std::vector<Flag> flags = exchange_flags();
  if (print_help(words, "exchange: lists are comma separated", flags)) return 0;
  const Result<Arguments> arguments = Arguments::parse(words, flags);
  if (!arguments.ok()) return fail(arguments.status());
  Sweep sweep;
  const Status opened = sweep.open(*arguments);
  if (!opened.ok()) return fail(opened);
  const Result<uint64_t> wrong = sweep.run();
  if (!wrong.ok()) return fail(wrong.status());
  return *wrong == 0 ? 0 : 1;
}

}  // namespace phub::perf
