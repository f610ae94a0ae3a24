#include "config/rdma_devices.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <tuple>

namespace phub::config {
namespace {

std::string line_of(const std::string& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

// The kernel says -1 where it does not know.
std::optional<uint32_t> node_in(const std::string& path) {
  int64_t node = -1;
  std::ifstream(path) >> node;
  if (node < 0 || node > 1023) return std::nullopt;
  return static_cast<uint32_t>(node);
}

uint32_t numa_node_of(const Topology& topology, const std::string& name, const std::string& folder,
                      const std::string& root) {
  for (const Nic& nic : topology.nics) {
    if (nic.is_rdma && nic.name == name) return nic.numa_node;
  }
  if (const auto node = node_in(folder + "/device/numa_node")) return *node;
  const std::string below = line_of(folder + "/parent");  // Of software devices: "eth0".
  if (below.empty()) return 0;
  return node_in(root + "/sys/class/net/" + below + "/device/numa_node").value_or(0);
}

// "4: ACTIVE"
bool is_active(const std::string& folder) {
  return line_of(folder + "/ports/1/state").starts_with("4");
}

}  // namespace

std::vector<Nic> find_rdma_devices(const Topology& topology, const std::vector<std::string>& wanted,
                                   const std::string& root) {
  const std::string devices = root + "/sys/class/infiniband";
  std::vector<Nic> found;
  for (const std::string& entry : wanted) {
    const std::string name = entry.substr(0, entry.find(':'));
    found.push_back({entry, numa_node_of(topology, name, devices + "/" + name, root), true});
  }
  if (!wanted.empty()) return found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(devices, error)) {
    const std::string name = entry.path().filename().string();
    if (!is_active(entry.path().string())) continue;
    found.push_back({name, numa_node_of(topology, name, entry.path().string(), root), true});
  }
  std::sort(found.begin(), found.end(), [](const Nic& a, const Nic& b) {
    return std::tie(a.numa_node, a.name) < std::tie(b.numa_node, b.name);
  });
  return found;
}

}  // namespace phub::config
