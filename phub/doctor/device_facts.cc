#include "phub/doctor/device_facts.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace phub::doctor {
namespace {

namespace fs = std::filesystem;

std::string line_of(const std::string& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

std::optional<uint64_t> number_in(const std::string& path) {
  int64_t number = -1;
  std::ifstream file(path);
  if (!(file >> number) || number < 0) return std::nullopt;
  return static_cast<uint64_t>(number);
}

std::optional<uint32_t> node_in(const std::string& path) {
  const std::optional<uint64_t> node = number_in(path);
  if (!node || *node > 1023) return std::nullopt;
  return static_cast<uint32_t>(*node);
}

// In order, so that reports are.
std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The last part of where a link leads; the place itself need not be there.
std::string target_of(const std::string& link) {
  std::error_code error;
  return fs::read_symlink(link, error).filename().string();
}

DeviceFile file_of(const std::string& root, const std::string& path, const std::string& of) {
  const std::string place = root + path;
  return {path, of, ::access(place.c_str(), F_OK) == 0, ::access(place.c_str(), R_OK | W_OK) == 0};
}

// The kernel's interface on the port: as the port's first address says, or below a software device.
std::string interface_of(const std::string& device, uint32_t port, const std::string& ports) {
  const std::string folder = ports + "/" + std::to_string(port) + "/gid_attrs/ndevs";
  for (const std::string& index : names_in(folder)) {
    const std::string name = line_of(folder + "/" + index);
    if (!name.empty()) return name;
  }
  const std::vector<std::string> names = names_in(device + "/device/net");
  if (names.size() == 1) return names.front();
  return line_of(device + "/parent");
}

void read_rdma(const std::string& root, DeviceFacts& facts) {
  const std::string folder = root + "/sys/class/infiniband";
  for (const std::string& name : names_in(folder)) {
    const std::string device = folder + "/" + name;
    for (const std::string& port_name : names_in(device + "/ports")) {
      const std::string path = device + "/ports/" + port_name;
      RdmaPort port;
      port.device = name;
      port.port = static_cast<uint32_t>(std::strtoul(port_name.c_str(), nullptr, 10));
      const std::string state = line_of(path + "/state");  // "4: ACTIVE"
      port.state = state.substr(std::min(state.find(' ') + 1, state.size()));
      port.is_infiniband = line_of(path + "/link_layer") == "InfiniBand";
      port.interface = interface_of(device, port.port, device + "/ports");
      const std::string net = root + "/sys/class/net/" + port.interface;
      if (!port.interface.empty()) {
        port.interface_mtu = static_cast<uint32_t>(number_in(net + "/mtu").value_or(0));
      }
      port.numa_node = node_in(device + "/device/numa_node");
      if (!port.numa_node) port.numa_node = node_in(net + "/device/numa_node");
      port.gids = transport::read_gid_table(path);
      facts.rdma_ports.push_back(std::move(port));
    }
  }
  const std::string verbs = root + "/sys/class/infiniband_verbs";
  for (const std::string& name : names_in(verbs)) {
    const std::string device = line_of(verbs + "/" + name + "/ibdev");
    if (device.empty()) continue;
    facts.verbs_files.push_back(file_of(root, "/dev/infiniband/" + name, device));
  }
}

void read_pci(const std::string& root, DeviceFacts& facts) {
  const std::string folder = root + "/sys/bus/pci/devices";
  for (const std::string& address : names_in(folder)) {
    const std::string device = folder + "/" + address;
    if (!line_of(device + "/class").starts_with("0x02")) continue;  // Network controllers.
    PciNic nic;
    nic.address = address;
    nic.driver = target_of(device + "/driver");
    nic.iommu_group = target_of(device + "/iommu_group");
    nic.interfaces = names_in(device + "/net");
    nic.numa_node = node_in(device + "/numa_node");
    if (nic.driver == "vfio-pci" && !nic.iommu_group.empty()) {
      facts.vfio_files.push_back(file_of(root, "/dev/vfio/" + nic.iommu_group, address));
    }
    facts.pci_nics.push_back(std::move(nic));
  }
  if (!facts.vfio_files.empty()) {
    facts.vfio_files.insert(facts.vfio_files.begin(), file_of(root, "/dev/vfio/vfio", "vfio"));
  }
  facts.has_iommu = !names_in(root + "/sys/kernel/iommu_groups").empty();
  const std::string without =
      line_of(root + "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
  facts.allows_vfio_without_iommu = without == "Y" || without == "1";
}

void read_huge_pages(const std::string& root, DeviceFacts& facts) {
  const std::string folder = root + "/sys/kernel/mm/hugepages";
  const std::string nodes = root + "/sys/devices/system/node";
  for (const std::string& name : names_in(folder)) {  // "hugepages-2048kB"
    HugePagePool pool;
    const size_t dash = name.find('-');
    if (dash == std::string::npos) continue;
    pool.page_bytes = std::strtoull(name.c_str() + dash + 1, nullptr, 10) * 1024;
    pool.total = number_in(folder + "/" + name + "/nr_hugepages").value_or(0);
    pool.free = number_in(folder + "/" + name + "/free_hugepages").value_or(0);
    for (size_t node = 0; node < facts.core_nodes.size(); ++node) {
      const std::string of_node = nodes + "/node" + std::to_string(facts.core_nodes[node]);
      const auto total = number_in(of_node + "/hugepages/" + name + "/nr_hugepages");
      if (total) pool.total_of_node.push_back(*total);
    }
    facts.huge_page_pools.push_back(std::move(pool));
  }
  std::ifstream mounts(root + "/proc/mounts");  // "hugetlbfs /dev/hugepages hugetlbfs rw 0 0"
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string what;
    std::string where;
    std::string type;
    words >> what >> where >> type;
    if (type == "hugetlbfs") facts.huge_page_mounts.push_back(where);
  }
}

void read_nodes(const std::string& root, DeviceFacts& facts) {
  const std::string folder = root + "/sys/devices/system/node";
  for (uint32_t node = 0; fs::exists(folder + "/node" + std::to_string(node)); ++node) {
    const std::string place = folder + "/node" + std::to_string(node);
    std::istringstream words(line_of(place + "/distance"));
    std::vector<uint32_t>& row = facts.distances.emplace_back();
    for (uint32_t distance = 0; words >> distance;) row.push_back(distance);
    if (!line_of(place + "/cpulist").empty()) facts.core_nodes.push_back(node);
  }
}

}  // namespace

DeviceFacts read_devices(const std::string& root) {
  DeviceFacts facts;
  read_nodes(root, facts);
  read_rdma(root, facts);
  read_pci(root, facts);
  read_huge_pages(root, facts);
  return facts;
}

std::string try_verbs_library() {
  void* const library = ::dlopen("libibverbs.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library != nullptr) return "";  // Never closed: its drivers do not expect it.
  const char* const why = ::dlerror();
  return why == nullptr ? "it cannot be loaded" : why;
}

}  // namespace phub::doctor
