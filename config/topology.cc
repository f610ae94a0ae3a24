#include "config/topology.h"

#include <hwloc.h>

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>

#include "base/check.h"

namespace phub::config {
namespace {

struct Destroy {
  void operator()(hwloc_topology* topology) const { hwloc_topology_destroy(topology); }
};
using Handle = std::unique_ptr<hwloc_topology, Destroy>;

uint32_t numa_node_of(hwloc_topology* topology, hwloc_obj* object) {
  hwloc_obj* const place = hwloc_get_non_io_ancestor_obj(topology, object);
  if (place == nullptr || place->nodeset == nullptr) return 0;
  const int node = hwloc_bitmap_first(place->nodeset);
  return node < 0 ? 0 : static_cast<uint32_t>(node);
}

// First the first hardware thread of every physical core, then the second ones, ...
std::vector<Core> find_cores(hwloc_topology* topology) {
  std::vector<std::tuple<int, Core>> ranked;
  std::map<hwloc_obj*, int> seen_in_core;
  hwloc_obj* unit = nullptr;
  while ((unit = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_PU, unit)) != nullptr) {
    hwloc_obj* const parent = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_CORE, unit);
    const int sibling = parent == nullptr ? 0 : seen_in_core[parent]++;
    ranked.emplace_back(sibling,
                        Core{static_cast<int>(unit->os_index), numa_node_of(topology, unit)});
  }
  std::sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) {
    return std::tuple(std::get<0>(a), std::get<1>(a).index) <
           std::tuple(std::get<0>(b), std::get<1>(b).index);
  });
  std::vector<Core> cores;
  for (const auto& [sibling, core] : ranked) cores.push_back(core);
  return cores;
}

std::vector<Nic> find_nics(hwloc_topology* topology) {
  std::vector<Nic> nics;
  hwloc_obj* device = nullptr;
  while ((device = hwloc_get_next_osdev(topology, device)) != nullptr) {
    const hwloc_obj_osdev_type_t type = device->attr->osdev.type;
    const bool is_rdma = type == HWLOC_OBJ_OSDEV_OPENFABRICS;
    if (!is_rdma && type != HWLOC_OBJ_OSDEV_NETWORK) continue;
    if (device->parent == nullptr || device->parent->type != HWLOC_OBJ_PCI_DEVICE) continue;
    nics.push_back({device->name, numa_node_of(topology, device), is_rdma});
  }
  std::sort(nics.begin(), nics.end(), [](const Nic& a, const Nic& b) {
    return std::tie(a.numa_node, a.name) < std::tie(b.numa_node, b.name);
  });
  return nics;
}

// `describe` says where the facts come from; the rest is the same for every source.
template <typename Describe>
Result<Topology> load(const std::string& what, Code code, Describe describe) {
  hwloc_topology* raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return Status(Code::internal, "hwloc cannot start");
  const Handle topology(raw);
  hwloc_topology_set_io_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
  // These load GPU libraries into the hub, take seconds, and leak; cores and NICs need none of
  // them.
  for (const char* const component : {"cuda", "gl", "levelzero", "nvml", "opencl", "rsmi"}) {
    hwloc_topology_set_components(raw, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, component);
  }
  if (describe(raw) != 0 || hwloc_topology_load(raw) != 0) {
    return Status(code, what + ": hwloc cannot read it");
  }
  Topology result;
  result.cores = find_cores(raw);
  result.nics = find_nics(raw);
  result.numa_node_count =
      static_cast<uint32_t>(std::max(1, hwloc_get_nbobjs_by_type(raw, HWLOC_OBJ_NUMANODE)));
  if (result.cores.empty()) return Status(code, what + ": it has no cores");
  return result;
}

}  // namespace

Result<Topology> discover_topology() {
  return load("this machine", Code::internal, [](hwloc_topology*) { return 0; });
}

Result<Topology> describe_topology(const std::string& synthetic) {
  return load("machine \"" + synthetic + "\"", Code::invalid_argument, [&](hwloc_topology* raw) {
    return hwloc_topology_set_synthetic(raw, synthetic.c_str());
  });
}

Result<Topology> read_topology_xml(const std::string& xml) {
  return load("machine description in XML", Code::invalid_argument, [&](hwloc_topology* raw) {
    return hwloc_topology_set_xmlbuffer(raw, xml.c_str(), static_cast<int>(xml.size() + 1));
  });
}

std::vector<Core> choose_shard_cores(const Topology& topology, uint32_t count) {
  PHUB_CHECK(count <= topology.cores.size());
  std::map<uint32_t, std::vector<Core>> by_node;
  for (const Core& core : topology.cores) by_node[core.numa_node].push_back(core);
  std::vector<Core> chosen;
  for (size_t turn = 0; chosen.size() < count; ++turn) {
    for (const auto& [node, cores] : by_node) {
      if (turn < cores.size() && chosen.size() < count) chosen.push_back(cores[turn]);
    }
  }
  return chosen;
}

}  // namespace phub::config
