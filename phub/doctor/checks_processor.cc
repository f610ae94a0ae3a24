#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "phub/doctor/checks.h"

namespace phub::doctor {
namespace {

constexpr double kClockReadNsMax = 200;  // A shard reads the clock once a poll.
constexpr double kClockErrorMax = 1;     // Seconds; beyond, logs of two machines cannot be merged.

std::string digits(double value, int decimals) {
  std::array<char, 40> text;
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace

Finding check_cores(const Facts& facts) {
  Finding finding{"cores", Verdict::ok, "", ""};
  finding.seen = std::to_string(facts.allowed_cores) + " for this process, " +
                 std::to_string(facts.numa_nodes) + " NUMA " +
                 (facts.numa_nodes == 1 ? "node" : "nodes") + ", isolated " +
                 (facts.isolated_cores.empty() ? "none" : facts.isolated_cores);
  if (facts.has_smt) finding.seen += *facts.has_smt ? ", SMT on" : ", SMT off";
  if (facts.allowed_cores >= 2) return finding;
  finding.verdict = Verdict::warning;
  finding.seen += ": a hub and its workers take turns";
  finding.fix =
      "give it more cores (taskset, docker --cpuset-cpus), or run hub and workers on "
      "machines of their own";
  return finding;
}

Finding check_cpu_limit(const Facts& facts) {
  Finding finding{"processor time", Verdict::ok, "no quota", ""};
  if (!facts.cgroup_cpus) return finding;
  finding.seen = "a quota of " + digits(*facts.cgroup_cpus, 1) + " processors for " +
                 std::to_string(facts.allowed_cores) + " cores";
  if (*facts.cgroup_cpus >= facts.allowed_cores) return finding;
  const int shards = std::max(1, static_cast<int>(std::floor(*facts.cgroup_cpus)));
  finding.verdict = Verdict::warning;
  finding.seen += ": busy shards are stopped for most of every period";
  finding.fix = "phubd --shards " + std::to_string(shards) +
                ", or lift the quota (systemd: CPUQuota=, docker: --cpus) and use --cpuset-cpus";
  return finding;
}

Finding check_governor(const Facts& facts) {
  Finding finding{"frequency", Verdict::skipped, "this machine shows no frequency governor", ""};
  if (facts.governor.empty()) return finding;
  finding.verdict = Verdict::ok;
  finding.seen = "governor " + facts.governor;
  if (facts.governor != "powersave" && facts.governor != "conservative") return finding;
  finding.verdict = Verdict::warning;
  finding.seen += ": a shard that was asleep starts slowly";
  finding.fix = "cpupower frequency-set -g performance";
  return finding;
}

Finding check_instruction_set(const Facts& facts) {
  Finding finding{"instructions", Verdict::skipped, "not known", ""};
  if (facts.isa.empty() || facts.supported_isas.empty()) return finding;
  finding.seen = facts.isa + " of " + joined(facts.supported_isas);
  finding.verdict = Verdict::ok;
  if (facts.isa == facts.supported_isas.front()) {
    const bool is_old =
        facts.isa.starts_with("SSE") || facts.isa == "PLAIN" || facts.isa == "SCALAR";
    if (is_old) finding.verdict = Verdict::warning;
    if (is_old) finding.seen += ": sums run at a fraction of the memory's speed";
    if (is_old) {
      finding.fix = "in a virtual machine pass the processor through (qemu -cpu host)";
    }
    return finding;
  }
  finding.verdict = Verdict::warning;
  finding.seen += ": PHUB_ISA asks for less than the best";
  finding.fix = "unset PHUB_ISA";
  return finding;
}

Finding check_clock_source(const Facts& facts) {
  Finding finding{"clock source", Verdict::skipped, "not known", ""};
  if (!facts.clock_read_ns) return finding;
  finding.seen = (facts.clock_source.empty() ? "unnamed" : facts.clock_source) + ", " +
                 digits(*facts.clock_read_ns, 0) + " ns a reading";
  finding.verdict = Verdict::ok;
  if (*facts.clock_read_ns <= kClockReadNsMax) return finding;
  finding.verdict = Verdict::warning;
  finding.seen += ": every poll of a shard reads it";
  finding.fix = "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource";
  return finding;
}

// Only people compare the clocks of machines: every time-out is measured on one.
Finding check_clock(const Facts& facts) {
  Finding finding{"clock", Verdict::skipped, "the kernel does not tell", ""};
  if (!facts.clock) return finding;
  if (facts.clock->is_synchronised && facts.clock->error_seconds_max <= kClockErrorMax) {
    finding.verdict = Verdict::ok;
    finding.seen =
        "synchronised, within " + digits(facts.clock->error_seconds_max * 1000, 1) + " ms";
    return finding;
  }
  finding.verdict = Verdict::warning;
  finding.seen = facts.clock->is_synchronised ? "synchronised only within " +
                                                    digits(facts.clock->error_seconds_max, 1) + " s"
                                              : "not synchronised";
  finding.seen += ": logs of several machines cannot be merged; the hub itself does not mind";
  finding.fix = "timedatectl set-ntp true, or start chronyd";
  return finding;
}

Finding check_kernel(const Facts& facts) {
  Finding finding{"kernel", Verdict::skipped, "not known", ""};
  if (facts.kernel.empty()) return finding;
  int major = 0;
  int minor = 0;
  std::sscanf(facts.kernel.c_str(), "%d.%d", &major, &minor);
  const auto text = [](const std::optional<Attempt>& attempt) {
    if (!attempt) return std::string("unknown");
    return attempt->works ? std::string("yes") : "no (" + attempt->reason + ")";
  };
  finding.seen = facts.kernel + "; io_uring " + text(facts.io_uring) + "; TLS in the kernel " +
                 text(facts.kernel_tls);
  finding.verdict = Verdict::ok;
  if (major > 5 || (major == 5 && minor >= 14)) return finding;
  finding.verdict = Verdict::warning;
  finding.seen += ": before 5.14 workers' shared memory gets no huge pages";
  finding.fix = "use a kernel of 5.14 or later; Debian 12 has 6.1";
  return finding;
}

}  // namespace phub::doctor
