// `phub-perf forms`: the same job with its hubs in each of the four places, and what every host's
// link carries, as measured and by formula.
#include <array>
#include <cstdio>

#include "base/thread.h"
#include "base/try.h"
#include "perf/case.h"
#include "perf/commands.h"
#include "perf/statistics.h"
#include "perf/system.h"

namespace phub::perf {
namespace {

std::vector<Flag> forms_flags() {
  std::vector<Flag> flags;
  for (const Flag& flag : case_flags()) {
    flags.push_back(flag.name == "fabric" ? Flag{"fabric", "between hosts: any but shm", "tcp"}
                    : flag.name == "hubs" ? Flag{"hubs", "of NCS; 0: one per worker", "0"}
                                          : flag);
  }
  flags.push_back({"rounds", "timed rounds per repeat", "10"});
  flags.push_back({"warmup", "rounds before them", "3"});
  flags.push_back({"repeats", "runs of every form, taking turns", "3"});
  flags.push_back({"timeout", "seconds for one run", "300"});
  flags.push_back({"phubd", "the hub's program", ""});
  return flags;
}

struct Entry {
  Case one;
  std::vector<double> times_us;
  LinkBytes measured;
};

std::vector<Entry> entries_of(const Case& asked) {
  const std::array<Form, 4> forms = {
      {{1, false}, {asked.form.hubs, false}, {1, true}, {asked.workers, true}}};
  std::vector<Entry> entries;
  for (const Form& form : forms) {
    Entry entry{asked, {}, {}};
    entry.one.form = form;
    const auto cores = static_cast<uint32_t>(base::allowed_cores().size());
    entry.one.shards = std::max(1u, cores / form.hubs);
    entries.push_back(std::move(entry));
  }
  return entries;
}

void print_header(const Case& one) {
  std::printf("# %s, %.1f MB, %u workers over %s; MB per exchange, both directions of a link\n",
              one.model.name.c_str(), static_cast<double>(one.bytes()) / 1e6, one.workers,
              one.fabric.c_str());
  std::printf("%-5s %5s %10s   %21s   %21s\n%-5s %5s %10s   %10s %10s   %10s %10s\n", "# form",
              "hubs", "p50", "hub's host", "worker's host", "#", "", "(ms)", "formula", "measured",
              "formula", "measured");
}

void print(const Entry& entry) {
  const LinkBytes formula = link_bytes(entry.one.form, entry.one.workers, entry.one.bytes());
  std::printf("%-6s %5u %10.1f   %10.1f %10.1f   ", std::string(name_of(entry.one.form)).c_str(),
              entry.one.form.hubs, median(entry.times_us) / 1e3, formula.hub_host / 1e6,
              entry.measured.hub_host / 1e6);
  if (formula.worker_host == 0) {
    std::printf("%10s %10s\n", "-", "-");  // Every worker's host has a hub.
  } else {
    std::printf("%10.1f %10.1f\n", formula.worker_host / 1e6, entry.measured.worker_host / 1e6);
  }
}

// Wrong elements over all rows.
Result<uint64_t> run(const Arguments& arguments) {
  if (arguments.is_set("colocated")) {
    return Status(Code::invalid_argument, "forms measures all four anyway; leave --colocated out");
  }
  PHUB_TRY_ASSIGN(const std::vector<Case> cases, parse_cases(arguments));
  PHUB_TRY_ASSIGN(const uint64_t rounds, arguments.number("rounds", 1, 1'000'000));
  PHUB_TRY_ASSIGN(const uint64_t warmup, arguments.number("warmup", 1, 1'000'000));
  PHUB_TRY_ASSIGN(const uint64_t repeats, arguments.number("repeats", 1, 1000));
  PHUB_TRY_ASSIGN(const uint64_t timeout, arguments.number("timeout", 1, 86'400));
  RunOptions options;
  options.rounds = static_cast<uint32_t>(rounds);
  options.warmup = static_cast<uint32_t>(warmup);
  options.timeout = std::chrono::seconds(timeout);
  const std::unique_ptr<System> system = make_phub_system(arguments.text("phubd"));
  uint64_t wrong = 0;
  for (const Case& one : cases) {
    if (one.fabric == "shm") {
      return Status(Code::invalid_argument, "--fabric = shm crosses no link; want tcp or tls");
    }
    print_header(one);
    std::vector<Entry> entries = entries_of(one);
    for (uint64_t repeat = 0; repeat < repeats; ++repeat) {
      for (size_t i = 0; i < entries.size(); ++i) {
        Entry& entry = entries[repeat % 2 == 0 ? i : entries.size() - 1 - i];
        PHUB_TRY_ASSIGN(const Outcome outcome, system->run(entry.one, "hub", options));
        entry.times_us.insert(entry.times_us.end(), outcome.times_us.begin(),
                              outcome.times_us.end());
        entry.measured =
            link_bytes(entry.one.form, outcome.hub_traffic, outcome.worker_traffic, options.rounds);
        wrong += outcome.wrong;
      }
    }
    for (const Entry& entry : entries) print(entry);
  }
  std::printf("# wrong elements: %llu, %s\n", static_cast<unsigned long long>(wrong),
              wrong == 0 ? "OK" : "FAILED");
  return wrong;
}

}  // namespace

int run_forms(Words words) {
  const std::vector<Flag> flags = forms_flags();
  if (print_help(words, "forms: hubs dedicated or colocated, one or several", flags)) return 0;
  const Result<Arguments> arguments = Arguments::parse(words, flags);
  if (!arguments.ok()) return fail(arguments.status());
  const Result<uint64_t> wrong = run(*arguments);
  if (!wrong.ok()) return fail(wrong.status());
  return *wrong == 0 ? 0 : 1;
}

}  // namespace phub::perf
