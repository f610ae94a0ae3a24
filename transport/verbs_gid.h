// Which address of an RDMA port is used: read from the system, chosen with a stated reason.
#pragma once

#include <phub/status.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace phub::transport {

using Gid = std::array<uint8_t, 16>;

enum class GidType : uint8_t { infiniband_or_roce_v1, roce_v2 };

struct GidEntry {
  uint32_t index = 0;
  Gid gid = {};
  GidType type = GidType::roce_v2;
};

struct GidChoice {
  GidEntry entry;
  std::string reason;  // "index 3, 10.1.0.7: RoCE v2, IPv4"
};

// "10.1.0.7" for an IPv4 address inside IPv6, otherwise "fd00::7".
std::string to_text(const Gid& gid);

// port_path: "/sys/class/infiniband/mlx5_0/ports/1". Entries that are empty or cannot be read, as
// happens inside containers, are left out.
std::vector<GidEntry> read_gid_table(const std::string& port_path);

// wanted: RdmaOptions::gid. For "auto": RoCE v2 before v1, IPv4 before IPv6, link-local only for
// want of another; on InfiniBand the first.
// not_found: none fits; invalid_argument: `wanted` is none of the three. A phrase that lists what
// the port has.
Result<GidChoice> choose_gid(std::span<const GidEntry> table, std::string_view wanted,
                             bool is_infiniband);

}  // namespace phub::transport
