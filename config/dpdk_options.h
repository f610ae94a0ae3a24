// What the dpdk fabric is told; the same on hubs and workers. docs/dpdk.md has every option with
// its default and when to touch it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace phub::config {

struct DpdkOptions {
  // Arguments of DPDK's environment layer as they are: "--no-huge", "--vdev=net_memif0,...".
  std::vector<std::string> eal = {};
  // Names of DPDK's devices: "net_memif0", "0000:3b:00.0". Empty: all that DPDK finds.
  std::vector<std::string> devices = {};
  // At most one IPv4 or IPv6 address, where peers reach this process by all its devices. It need
  // not be, and should not be, an address of the kernel's. Empty: made from the first device's MAC
  // address (fe80::/64), which peers are told in either case.
  std::vector<std::string> addresses = {};
  uint16_t udp_port = 7171;  // Queue i receives at udp_port + i.
  // Gather also where it gains nothing: for tests and measurements, not an operator's option.
  bool forces_gather = false;
  uint32_t mtu = 0;  // Bytes of an IP packet; 0: what the device is set to.

  bool operator==(const DpdkOptions&) const = default;
};

}  // namespace phub::config
