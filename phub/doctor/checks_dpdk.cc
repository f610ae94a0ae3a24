// DPDK: what dpdk:// needs of a machine. Its devices without hardware (memif, af_packet) need none
// of it but memory.
#include <algorithm>

#include "config/quantity.h"
#include "phub/doctor/checks.h"

namespace phub::doctor {
namespace {

constexpr const char* kNoNic = "no network controller on PCI; memif and af_packet need none";

void add(std::string& list, const std::string& entry, const char* separator = ", ") {
  list += (list.empty() ? "" : separator) + entry;
}

bool has_dpdk_nic(const Facts& facts) {
  return std::any_of(facts.devices.pci_nics.begin(), facts.devices.pci_nics.end(),
                     [](const PciNic& nic) { return nic.is_free_for_dpdk(); });
}

bool is_vfio(const PciNic& nic) { return nic.driver == "vfio-pci"; }

}  // namespace

Finding check_reserved_huge_pages(const Facts& facts) {
  Finding finding{"reserved huge pages", Verdict::skipped,
                  "none; dpdk:// wants some: sysctl -w vm.nr_hugepages=1024, or dpdk_eal = "
                  "--no-huge",
                  ""};
  uint64_t total = 0;
  uint64_t free = 0;
  std::string pools;
  for (const HugePagePool& pool : facts.devices.huge_page_pools) {
    total += pool.total;
    free += pool.free;
    if (pool.total == 0) continue;
    add(pools, std::to_string(pool.free) + " of " + std::to_string(pool.total) + " pages of " +
                   config::print_bytes(pool.page_bytes) + " free");
  }
  if (total == 0 && has_dpdk_nic(facts)) {
    return {"reserved huge pages", Verdict::problem, "none, but a NIC is bound to DPDK's driver",
            "sysctl -w vm.nr_hugepages=1024, or phubd --dpdk-eal=--no-huge"};
  }
  if (total == 0) return finding;
  finding = {"reserved huge pages", Verdict::ok, pools, ""};
  for (const HugePagePool& pool : facts.devices.huge_page_pools) {
    const auto bare = std::find(pool.total_of_node.begin(), pool.total_of_node.end(), 0u);
    if (pool.total == 0 || bare == pool.total_of_node.end()) continue;
    const auto place = static_cast<size_t>(bare - pool.total_of_node.begin());
    const std::string node = std::to_string(facts.devices.core_nodes[place]);
    finding.verdict = Verdict::warning;
    add(finding.seen, "none on NUMA node " + node);
    add(finding.fix,
        "echo 512 > /sys/devices/system/node/node" + node + "/hugepages/hugepages-" +
            std::to_string(pool.page_bytes / 1024) + "kB/nr_hugepages",
        "; ");
  }
  if (free == 0) {
    finding.verdict = Verdict::warning;
    add(finding.fix,
        "sysctl -w vm.nr_hugepages=" + std::to_string(total * 2) +
            ", or end the process that holds them",
        "; ");
  }
  if (!facts.devices.huge_page_mounts.empty()) {
    add(finding.seen, "mounted at " + facts.devices.huge_page_mounts.front());
    return finding;
  }
  finding.verdict = Verdict::warning;
  add(finding.seen, "mounted nowhere");
  add(finding.fix,
      "mkdir -p /dev/hugepages && mount -t hugetlbfs nodev /dev/hugepages, or "
      "--dpdk-eal=--in-memory",
      "; ");
  return finding;
}

Finding check_nic_drivers(const Facts& facts) {
  Finding finding{"NIC drivers", Verdict::skipped, kNoNic, ""};
  if (facts.devices.pci_nics.empty()) return finding;
  finding = {"NIC drivers", Verdict::ok, "", ""};
  for (const PciNic& nic : facts.devices.pci_nics) {
    std::string place;
    for (const std::string& interface : nic.interfaces) add(place, interface);
    add(finding.seen, nic.address + " " + (nic.driver.empty() ? "no driver" : nic.driver) +
                          (place.empty() ? "" : " (" + place + ")"));
    if (nic.driver.empty()) {
      finding.verdict = Verdict::warning;
      add(finding.fix,
          "dpdk-devbind.py --bind=vfio-pci " + nic.address +
              " for dpdk://, or load "
              "the kernel's driver",
          "; ");
    } else if (nic.is_free_for_dpdk() && !is_vfio(nic)) {
      finding.verdict = Verdict::warning;
      add(finding.seen, "through which the device reaches all of memory");
      add(finding.fix, "modprobe vfio-pci && dpdk-devbind.py --bind=vfio-pci " + nic.address, "; ");
    }
  }
  return finding;
}

Finding check_vfio(const Facts& facts) {
  Finding finding{"VFIO and IOMMU", Verdict::skipped, "no NIC is bound to vfio-pci", ""};
  const auto& nics = facts.devices.pci_nics;
  if (std::none_of(nics.begin(), nics.end(), is_vfio)) return finding;
  finding = {"VFIO and IOMMU", Verdict::ok,
             facts.devices.has_iommu ? "the IOMMU is on" : "no IOMMU", ""};
  if (!facts.devices.has_iommu) {
    finding.verdict = facts.devices.allows_vfio_without_iommu ? Verdict::warning : Verdict::problem;
    add(finding.seen, facts.devices.allows_vfio_without_iommu
                          ? "and VFIO works without: the device reaches all of memory"
                          : "without which VFIO opens nothing");
    finding.fix =
        "intel_iommu=on iommu=pt (or amd_iommu=on) on the kernel's command line, and in the "
        "firmware; where there is none: echo 1 > "
        "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
  }
  for (const DeviceFile& file : facts.devices.vfio_files) {
    if (file.is_open) continue;
    finding.verdict = Verdict::problem;
    add(finding.seen, file.path + (file.exists ? " is not allowed" : " is not there"));
    add(finding.fix,
        file.exists ? "chown HUB_USER " + file.path
                    : "modprobe vfio-pci; in a container: docker run --device=/dev/vfio",
        "; ");
  }
  return finding;
}

}  // namespace phub::doctor
