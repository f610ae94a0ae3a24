// What a fabric needs on this machine so that hub and workers meet over it: RDMA devices shared
// out between them, memif devices of DPDK between their processes. Nothing for the others.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "perf/case.h"

namespace phub::perf {

// Of a memif device: what its far end can be given in one piece, the longest frame. One chunk of
// 32 KiB and what stands before it.
constexpr uint64_t kMemifBufferBytes = 33'792;

// Why the fabric cannot be measured here and what to do; empty: it can.
std::string missing_medium(const std::string& fabric);
// Every fabric that can be measured here; `missing` gets a line for each of the others.
std::vector<std::string> fabrics_here(std::vector<std::string>& missing);

// folder: for sockets; the same for the hub and all ranks.
// More words for phubd's command line.
std::vector<std::string> hub_medium(const Case& one, const std::string& folder, uint32_t hub);
// WorkerOptions::network of a rank.
std::map<std::string, std::string> worker_medium(const Case& one, const std::string& folder,
                                                 uint32_t rank);

// Devices of hub and workers out of all there are: the hub has the first `rails`; a rank has up to
// `rails` of the others, each rank another first; with no others, the hub's.
std::vector<std::string> hub_devices(const std::vector<std::string>& all, uint32_t rails);
std::vector<std::string> worker_devices(const std::vector<std::string>& all, uint32_t rails,
                                        uint32_t rank);

}  // namespace phub::perf
