// The machine's cores, NUMA nodes and NICs, found by hwloc, as plain values.
#pragma once

#include <phub/status.h>

#include <cstdint>
#include <string>
#include <vector>

namespace phub::config {

struct Core {
  int index = 0;  // The operating system's number: what a thread is pinned to.
  uint32_t numa_node = 0;
};

struct Nic {
  std::string name;  // "eth0", "mlx5_0".
  uint32_t numa_node = 0;
  bool is_rdma = false;  // An OpenFabrics device.
};

// Only cores this process may run on. Cores ascend; those that share a physical core with an
// earlier one (hyper-threads) come last.
struct Topology {
  std::vector<Core> cores;
  std::vector<Nic> nics;  // By NUMA node, then by name. PCI devices only: no loopback, no bridges.
  uint32_t numa_node_count = 1;
};

// internal: hwloc failed.
Result<Topology> discover_topology();
// Machines that are not this one, for plans and tests: an hwloc description ("pack:2 core:8 pu:2"),
// or an XML file's text as `lstopo --of xml` writes it.  invalid_argument: hwloc refuses it.
Result<Topology> describe_topology(const std::string& synthetic);
Result<Topology> read_topology_xml(const std::string& xml);

// Cores for `count` shards, spread evenly over the NUMA nodes so that every memory controller
// works; hyper-thread siblings only when the physical cores run out. REQUIRES: count <= cores.
std::vector<Core> choose_shard_cores(const Topology& topology, uint32_t count);

}  // namespace phub::config
