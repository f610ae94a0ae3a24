// Which RDMA devices a hub uses as rails, with the NUMA node of each.
#pragma once

#include <string>
#include <vector>

#include "config/topology.h"

namespace phub::config {

// wanted: RdmaOptions::devices ("mlx5_0", "mlx5_0:2"), kept in that order whether or not they are
// here: the fabric says what is wrong with one that is not. Empty: every RDMA device here whose
// port 1 is active, by NUMA node, then by name. hwloc knows the nodes of PCI devices; software
// devices (soft-RoCE), which it does not see, are found in /sys, on the node of the interface below
// them. root: of the tree that is read; "" for this machine.
std::vector<Nic> find_rdma_devices(const Topology& topology, const std::vector<std::string>& wanted,
                                   const std::string& root);

}  // namespace phub::config
