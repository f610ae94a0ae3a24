// What the doctor knows about devices that fabrics drive themselves: RDMA ports, PCI NICs, huge
// pages, and who may use them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "transport/verbs_gid.h"

namespace phub::doctor {

struct RdmaPort {
  std::string device;  // "mlx5_0"
  uint32_t port = 1;
  std::string state;           // "ACTIVE", "DOWN", "INIT"
  bool is_infiniband = false;  // Else Ethernet: RoCE.
  std::string interface;       // Of the kernel, on the same port; empty: unknown.
  uint32_t interface_mtu = 0;  // 0: unknown.
  std::optional<uint32_t> numa_node;
  std::vector<transport::GidEntry> gids;

  bool is_active() const { return state == "ACTIVE"; }
  std::string name() const { return device + ":" + std::to_string(port); }
};

struct DeviceFile {
  std::string path;  // "/dev/infiniband/uverbs0"
  std::string of;    // "mlx5_0"
  bool exists = false;
  bool is_open = false;  // This process may read and write it.
};

struct PciNic {
  std::string address;      // "0000:3b:00.0"
  std::string driver;       // "mlx5_core", "vfio-pci"; empty: none.
  std::string iommu_group;  // "42"; empty: none.
  std::vector<std::string> interfaces;
  std::optional<uint32_t> numa_node;

  bool is_free_for_dpdk() const {
    return driver == "vfio-pci" || driver == "igb_uio" || driver == "uio_pci_generic";
  }
};

struct HugePagePool {
  uint64_t page_bytes = 0;
  uint64_t total = 0;
  uint64_t free = 0;
  std::vector<uint64_t> total_of_node;  // By NUMA node; empty: unknown.
};

struct DeviceFacts {
  std::vector<RdmaPort> rdma_ports;
  std::vector<DeviceFile> verbs_files;
  std::optional<std::string> verbs_library;  // Why libibverbs cannot be loaded; empty: it can.
  std::vector<PciNic> pci_nics;
  std::vector<HugePagePool> huge_page_pools;
  std::vector<std::string> huge_page_mounts;  // "/dev/hugepages"
  bool has_iommu = false;                     // The kernel made groups.
  bool allows_vfio_without_iommu = false;
  std::vector<DeviceFile> vfio_files;  // Of the groups of PCI NICs at vfio-pci, and vfio itself.
  std::vector<uint32_t> core_nodes;    // NUMA nodes that have cores.
  std::vector<std::vector<uint32_t>> distances;  // From node to node, as the kernel gives them.
  std::string rdma_gid = "auto";                 // PHUB_RDMA_GID, or its default.
};

// From the files under `root`: "" for this machine, a made-up tree in a test.
DeviceFacts read_devices(const std::string& root);
// Why libibverbs cannot be loaded here; empty: it can.
std::string try_verbs_library();

}  // namespace phub::doctor
