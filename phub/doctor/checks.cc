#include "phub/doctor/checks.h"

#include <array>

namespace phub::doctor {
namespace {

constexpr std::array kChecks{
    check_cores,         check_cpu_limit,    check_governor,    check_instruction_set,
    check_clock_source,  check_clock,        check_kernel,      check_memory_limit,
    check_sealed_memory, check_huge_pages,   check_dev_shm,     check_locked_memory,
    check_open_files,    check_interfaces,   check_mtu,         check_tcp_buffers,
    check_verbs_library, check_rdma_ports,   check_rdma_gids,   check_rdma_mtu,
    check_verbs_files,   check_nic_distance, check_nic_drivers, check_reserved_huge_pages,
    check_vfio,          check_hub,          check_path,        check_door,
};

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::warning:
      return "warning";
    case Verdict::problem:
      return "problem";
    case Verdict::skipped:
      return "skipped";
  }
  return "unknown";
}

std::span<const Check> all_checks() { return kChecks; }

std::vector<Finding> examine(const Facts& facts) {
  std::vector<Finding> findings;
  for (const Check check : kChecks) findings.push_back(check(facts));
  for (const HubProbe& hub : facts.other_hubs) {
    Facts seen_there = facts;
    seen_there.hub = hub;
    findings.push_back(check_hub(seen_there));
    findings.push_back(check_path(seen_there));
  }
  return findings;
}

}  // namespace phub::doctor
