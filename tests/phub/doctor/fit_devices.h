// Devices that are fit for RDMA and DPDK, for tests of the doctor to spoil.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "phub/doctor/checks.h"

namespace phub::doctor {

inline transport::GidEntry gid(uint32_t index, std::initializer_list<uint8_t> head,
                               std::initializer_list<uint8_t> tail, bool is_v2 = true) {
  transport::GidEntry entry;
  entry.index = index;
  std::copy(head.begin(), head.end(), entry.gid.begin());
  std::copy(tail.begin(), tail.end(), entry.gid.end() - static_cast<ptrdiff_t>(tail.size()));
  if (!is_v2) entry.type = transport::GidType::infiniband_or_roce_v1;
  return entry;
}
inline const transport::GidEntry kLinkLocal = gid(1, {0xfe, 0x80}, {1});
inline const transport::GidEntry kIpv4 = gid(3, {}, {0xff, 0xff, 10, 1, 0, 7});

inline DeviceFacts fit_devices() {
  DeviceFacts devices;
  devices.rdma_ports = {{"mlx5_0", 1, "ACTIVE", false, "eth0", 9000, 0, {kLinkLocal, kIpv4}},
                        {"mlx5_1", 1, "ACTIVE", true, "ib0", 2044, 1, {kLinkLocal}}};
  devices.verbs_files = {{"/dev/infiniband/uverbs0", "mlx5_0", true, true}};
  devices.verbs_library = "";
  devices.pci_nics = {{"0000:3b:00.0", "mlx5_core", "12", {"eth0"}, 0},
                      {"0000:5e:00.0", "vfio-pci", "42", {}, 1}};
  devices.huge_page_pools = {{2 << 20, 1024, 512, {512, 512}}, {1 << 30, 0, 0, {0, 0}}};
  devices.huge_page_mounts = {"/dev/hugepages"};
  devices.has_iommu = true;
  devices.vfio_files = {{"/dev/vfio/vfio", "vfio", true, true},
                        {"/dev/vfio/42", "0000:5e:00.0", true, true}};
  devices.core_nodes = {0, 1};
  devices.distances = {{10, 21}, {21, 10}};
  return devices;
}

// Those that device_checks_test.cc spoils.
constexpr Check kDeviceChecks[] = {
    check_verbs_library, check_rdma_ports,   check_rdma_gids,   check_rdma_mtu,
    check_verbs_files,   check_nic_distance, check_nic_drivers, check_reserved_huge_pages,
    check_vfio,          check_locked_memory};

}  // namespace phub::doctor
