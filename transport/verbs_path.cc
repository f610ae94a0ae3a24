#include "transport/verbs_path.h"

#include <algorithm>

namespace phub::transport {

ibv_ah_attr path_to(const VerbsAddress& peer, const VerbsDevice& device,
                    const config::RdmaOptions& options) {
  ibv_ah_attr path = {};
  path.port_num = device.port;
  path.sl = options.service_level;
  path.dlid = peer.lid;
  // Inside a subnet the local identifier finds it. The upper half of a GID names the subnet.
  const Gid& own = device.gid.entry.gid;
  const bool is_one_subnet = std::equal(own.begin(), own.begin() + 8, peer.gid.begin());
  if (device.is_infiniband && is_one_subnet && !device.needs_global_path) return path;
  path.is_global = 1;
  std::copy(peer.gid.begin(), peer.gid.end(), path.grh.dgid.raw);
  path.grh.sgid_index = static_cast<uint8_t>(device.gid.entry.index);
  path.grh.hop_limit = 64;
  path.grh.traffic_class = options.traffic_class;
  return path;
}

VerbsAddress address_of(const VerbsDevice& device) {
  return {device.gid.entry.gid, device.lid, device.mtu, device.is_infiniband};
}

}  // namespace phub::transport
