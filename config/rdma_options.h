// What a fabric over RDMA verbs is told; the same on hubs and workers. docs/rdma.md has every
// option with its default and when to touch it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace phub::config {

struct RdmaOptions {
  // Rails: "mlx5_0" or "mlx5_0:2" (port 2), in order of preference. Empty: every device whose port
  // 1 is active.
  std::vector<std::string> devices;
  // Which address of a port: "auto" (RoCE v2 before v1, IPv4 before IPv6, no link-local), an index
  // into the port's table, or a block such as "10.1.0.0/16" or "fd00::/8".
  std::string gid = "auto";
  uint32_t mtu = 0;           // Bytes: 256 to 4096; 0: the port's active one. The smaller end wins.
  uint8_t traffic_class = 0;  // Of the IP header: DSCP x 4.
  uint8_t service_level = 0;  // 0 to 15.
  uint16_t pkey_index = 0;    // Into the port's table of partition keys.
  uint8_t timeout = 14;       // Local ack timeout: 4.096 us x 2^timeout; 14 is 67 ms.
  uint8_t retries = 6;        // Before a queue pair fails: 1 to 7. Some drivers take 7 for endless.
  uint32_t queue_depth = 256;  // Work requests of a queue pair and direction.
  uint32_t queue_pairs = 1;    // Per link and rail, 1 to 16.

  bool operator==(const RdmaOptions&) const = default;
};

}  // namespace phub::config
