// Devices of DPDK's that need no NIC: a hub's, one for each worker, and the workers' other ends.
//
// Made once in a process and used by one test after the other: devices of DPDK's stay.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "transport/dpdk/dpdk_wire.h"

namespace phub::transport::dpdk {

struct Devices {
  std::vector<std::string> hub;
  std::vector<std::string> workers;
};

// Rings in memory.
const Devices& ring_devices();
// memif: each end has its own spelling of the socket's path, so that one process may have both.
const Devices& memif_devices();
// af_packet on veth pairs, in a network namespace of the calling thread's. jumbo: an MTU of 9000.
const Devices& packet_devices();
const Devices& jumbo_packet_devices();
// Why there can be none; empty if there can.
std::string why_no_packet_devices();

// Check-fails where it cannot be made. ip empty: made from the MAC address.
std::unique_ptr<DpdkWire> make_test_wire(const std::vector<std::string>& devices,
                                         const std::string& ip, uint32_t shard,
                                         uint32_t shard_count, bool forces_gather = false);

}  // namespace phub::transport::dpdk
