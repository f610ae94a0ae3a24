#include <algorithm>

#include "config/quantity.h"
#include "phub/doctor/checks.h"

namespace phub::doctor {
namespace {

using config::print_bytes;

// Of the hub itself: listeners, epolls, eventfds, log. Measured with two shards: 22.
constexpr uint64_t kOwnDescriptors = 64;
constexpr uint64_t kRanksMin = 16;  // Fewer, and the first job of a rack fails.
constexpr uint64_t kLockedWanted = uint64_t{64} << 20;
constexpr uint64_t kDockerShm = uint64_t{64} << 20;  // What containers get by default.

std::string limit_text(uint64_t bytes) {
  return bytes == kUnlimited ? "unlimited" : print_bytes(bytes);
}

}  // namespace

// A rank costs the hub its session and a link at every shard.
Finding check_open_files(const Facts& facts) {
  Finding finding{"open files", Verdict::skipped, "the limit is not known", ""};
  if (!facts.open_files) return finding;
  const uint64_t soft = facts.open_files->soft;
  const uint64_t per_rank = 1 + uint64_t{facts.shards};
  const uint64_t wanted = kOwnDescriptors + facts.sessions_max * per_rank;
  const uint64_t room = soft < kOwnDescriptors ? 0 : (soft - kOwnDescriptors) / per_rank;
  const std::string limit = soft == kUnlimited ? "unlimited" : std::to_string(soft);
  if (soft >= wanted) {
    finding.verdict = Verdict::ok;
    finding.seen = limit + "; " + std::to_string(facts.sessions_max) + " ranks (sessions_max) at " +
                   std::to_string(facts.shards) + " shards want " + std::to_string(wanted);
    return finding;
  }
  finding.verdict = room < kRanksMin ? Verdict::problem : Verdict::warning;
  finding.seen = limit + ": room for " + std::to_string(room) + " ranks at " +
                 std::to_string(facts.shards) +
                 " shards, not for sessions_max = " + std::to_string(facts.sessions_max);
  finding.fix = "ulimit -n " + std::to_string(wanted) +
                " (systemd: LimitNOFILE=" + std::to_string(wanted) + "), or phubd --sessions-max " +
                std::to_string(std::max<uint64_t>(room, 1));
  return finding;
}

// Over RDMA a hub locks all that its jobs use, by default up to half of the machine; a worker its
// model's gradients and results.
Finding check_locked_memory(const Facts& facts) {
  Finding finding{"locked memory", Verdict::skipped, "the limit is not known", ""};
  if (!facts.locked_memory_bytes) return finding;
  const uint64_t soft = facts.locked_memory_bytes->soft;
  const bool has_rdma =
      std::any_of(facts.devices.rdma_ports.begin(), facts.devices.rdma_ports.end(),
                  [](const RdmaPort& port) { return port.is_active(); });
  const uint64_t jobs = facts.memory_bytes.value_or(0) / 2;
  const uint64_t wanted = has_rdma ? std::max(kLockedWanted, jobs) : kLockedWanted;
  finding.seen = limit_text(soft);
  if (soft >= wanted) {
    finding.verdict = Verdict::ok;
    return finding;
  }
  finding.verdict = has_rdma && soft < kLockedWanted ? Verdict::problem : Verdict::warning;
  finding.seen += has_rdma ? "; a hub over RDMA locks what its jobs use, up to " +
                                 print_bytes(jobs) + " (memory_limit = 50%)"
                           : "; shm and tcp lock none, networks that register memory with a "
                             "device lock all that they move";
  finding.fix = "ulimit -l unlimited (systemd: LimitMEMLOCK=infinity; docker: --ulimit memlock=-1)";
  return finding;
}

Finding check_sealed_memory(const Facts& facts) {
  Finding finding{"sealed memfd", Verdict::skipped, "not tried", ""};
  if (!facts.sealed_memfd) return finding;
  if (facts.sealed_memfd->works) {
    finding.verdict = Verdict::ok;
    finding.seen = "made, sealed, mapped and written: workers here can share memory with a hub";
    return finding;
  }
  finding.verdict = Verdict::problem;
  finding.seen = facts.sealed_memfd->reason;
  finding.fix =
      "allow memfd_create and fcntl(F_ADD_SEALS) in the sandbox (seccomp profile), or use "
      "--listen tcp://HOST:PORT";
  return finding;
}

Finding check_huge_pages(const Facts& facts) {
  Finding finding{"huge pages", Verdict::skipped, "the kernel has no transparent huge pages", ""};
  if (facts.huge_pages.empty()) return finding;
  const auto is_given = [](const std::string& choice) {
    return choice == "always" || choice == "madvise" || choice == "advise" ||
           choice == "within_size" || choice == "force";
  };
  const std::string folder = "/sys/kernel/mm/transparent_hugepage/";
  finding.seen = "private " + facts.huge_pages + ", shared " +
                 (facts.shared_huge_pages.empty() ? "unknown" : facts.shared_huge_pages) + ", " +
                 std::to_string(facts.reserved_huge_pages) + " reserved";
  finding.verdict = Verdict::ok;
  if (!is_given(facts.huge_pages)) finding.fix = "echo madvise > " + folder + "enabled";
  if (!facts.shared_huge_pages.empty() && !is_given(facts.shared_huge_pages)) {
    finding.fix += (finding.fix.empty() ? "" : "; ") + std::string("echo advise > ") + folder +
                   "shmem_enabled";
  }
  if (finding.fix.empty()) return finding;
  finding.verdict = Verdict::warning;
  finding.seen += ": the sums wait for page tables in models beyond some MiB";
  return finding;
}

Finding check_dev_shm(const Facts& facts) {
  Finding finding{"/dev/shm", Verdict::skipped, "there is none; PHub needs none", ""};
  if (!facts.dev_shm_bytes) return finding;
  finding.seen = print_bytes(*facts.dev_shm_bytes) + "; PHub shares memory by memfd, not here";
  finding.verdict = Verdict::ok;
  if (*facts.dev_shm_bytes > kDockerShm) return finding;
  finding.verdict = Verdict::warning;
  finding.seen += ", but the data loaders of trainers do";
  finding.fix = "docker run --shm-size 8g, or mount -o remount,size=8G /dev/shm";
  return finding;
}

// phubd takes half of the machine unless told otherwise, and does not see the group's limit.
Finding check_memory_limit(const Facts& facts) {
  Finding finding{"memory", Verdict::skipped, "/proc/meminfo is not readable", ""};
  if (!facts.memory_bytes) return finding;
  const uint64_t half = *facts.memory_bytes / 2;
  finding.verdict = Verdict::ok;
  finding.seen = print_bytes(*facts.memory_bytes) + ", " +
                 print_bytes(facts.memory_available_bytes.value_or(0)) + " available";
  if (!facts.cgroup_memory_bytes) return finding;
  const uint64_t limit = *facts.cgroup_memory_bytes;
  finding.seen += ", the control group may use " + print_bytes(limit);
  if (limit >= half) return finding;
  finding.verdict = Verdict::problem;
  finding.seen += ": less than the " + print_bytes(half) +
                  " (50%) that phubd takes by default, so the kernel would kill it";
  finding.fix = "phubd --memory-limit " +
                std::to_string(std::max<uint64_t>(limit / 4 * 3 >> 20, 16)) +
                "MiB, or raise the group's limit (systemd: MemoryMax=, docker: --memory)";
  return finding;
}

}  // namespace phub::doctor
