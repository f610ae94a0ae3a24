// An RDMA device and the port of it that is used: opened, with what it can do.
#pragma once

#include <string>
#include <vector>

#include "config/rdma_options.h"
#include "transport/verbs_gid.h"
#include "transport/verbs_library.h"

namespace phub::transport {

struct VerbsDevice {
  std::string name;  // "mlx5_0", or "mlx5_0:2" for another port than 1.
  std::string port_path;
  uint8_t port = 1;
  bool is_infiniband = false;
  bool needs_global_path = false;  // InfiniBand: also inside the subnet (virtual functions).
  bool has_windows = false;        // Memory windows that are bound to a queue pair (type 2B).
  uint32_t mtu = 0;                // Bytes: the port's active one, or what the options say if less.
  uint16_t lid = 0;
  GidChoice gid;
  ibv_device_attr limits = {};
  VerbsPtr<ibv_context> context;
};

// not_found: no such device or port, or no address fits; unavailable: the port is down;
// permission_denied: /dev/infiniband is closed to this user. All say what to do.
Result<VerbsDevice> open_verbs_device(const std::string& name, const config::RdmaOptions& options);

// Reliable writes with immediate data, and datagrams: InfiniBand and RoCE have them.
bool has_infiniband_transport(const ibv_device& device);

// The names that RdmaOptions::devices stands for: itself, or every such device whose port 1 is
// active.
// not_found: there is none; the message says which there are and how their ports are.
Result<std::vector<std::string>> choose_verbs_devices(const config::RdmaOptions& options);

// Asks the port again: its address table may have changed since (a port that was down). The same
// errors.
Status refresh_port(VerbsDevice& device, const config::RdmaOptions& options);

// Bytes of a path MTU, and back. 0: none of the five.
uint32_t bytes_of_mtu(ibv_mtu mtu);
ibv_mtu mtu_of_bytes(uint32_t bytes);  // The greatest that is not above; at least 256.

}  // namespace phub::transport
