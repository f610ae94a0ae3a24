// The checks of `phubctl doctor`: pure functions from facts to a finding, one a file's worth each
// subject. A new one is written beside its like and added to the list in checks.cc.
#pragma once

#include <span>
#include <vector>

#include "phub/doctor/facts.h"
#include "phub/doctor/finding.h"

namespace phub::doctor {

using Check = Finding (*)(const Facts& facts);

// In the order of the report.
std::span<const Check> all_checks();
// The findings of all checks, then those about other hubs.
std::vector<Finding> examine(const Facts& facts);

// checks_memory.cc
Finding check_open_files(const Facts& facts);
Finding check_locked_memory(const Facts& facts);
Finding check_sealed_memory(const Facts& facts);
Finding check_huge_pages(const Facts& facts);
Finding check_dev_shm(const Facts& facts);
Finding check_memory_limit(const Facts& facts);

// checks_processor.cc
Finding check_cores(const Facts& facts);
Finding check_cpu_limit(const Facts& facts);
Finding check_governor(const Facts& facts);
Finding check_instruction_set(const Facts& facts);
Finding check_clock_source(const Facts& facts);
Finding check_clock(const Facts& facts);
Finding check_kernel(const Facts& facts);

// checks_network.cc
Finding check_interfaces(const Facts& facts);
Finding check_mtu(const Facts& facts);
Finding check_tcp_buffers(const Facts& facts);

// checks_rdma.cc
Finding check_verbs_library(const Facts& facts);
Finding check_rdma_ports(const Facts& facts);
Finding check_rdma_gids(const Facts& facts);
Finding check_rdma_mtu(const Facts& facts);
Finding check_verbs_files(const Facts& facts);
Finding check_nic_distance(const Facts& facts);

// checks_dpdk.cc
Finding check_reserved_huge_pages(const Facts& facts);
Finding check_nic_drivers(const Facts& facts);
Finding check_vfio(const Facts& facts);

// checks_hub.cc
Finding check_hub(const Facts& facts);
Finding check_path(const Facts& facts);
Finding check_door(const Facts& facts);

}  // namespace phub::doctor
