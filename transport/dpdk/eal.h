// DPDK's environment layer: started once in a process, shared by all wires.
#pragma once

#include <phub/status.h>

#include <string>
#include <vector>

namespace phub::transport::dpdk {

// Starts it with these arguments and those that a library needs: an own file prefix, no telemetry,
// no thread pinned, no signal handled. Later calls find it started; their arguments are not looked
// at. Thread-safe.
// failed_precondition: no hugepages, or whatever DPDK says; the message has what to do.
Status start_eal(const std::vector<std::string>& arguments);

// What DPDK has logged since `start_eal`, at most the last few lines; for messages.
std::string eal_says();

// Makes the calling thread known to DPDK, so that its memory pools have a cache for it. Cheap when
// it is already; without a place for it all works, only slower.
void adopt_thread();

}  // namespace phub::transport::dpdk
