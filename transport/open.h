// Fabrics by name: the scheme of a hub's address chooses one.
#pragma once

#include <memory>

#include "config/dpdk_options.h"
#include "config/rdma_options.h"
#include "transport/fabric.h"
#include "transport/tcp.h"

namespace phub::transport {

struct FabricOptions {
  TcpOptions tcp;
  config::RdmaOptions rdma = {};
  config::DpdkOptions dpdk = {};
  // A hub's fabrics to one network share its devices: this is the one of shard `shard`. Workers
  // have one: 0 of 0.
  uint32_t shard = 0;
  uint32_t shard_count = 0;
};

// scheme: "shm", "tcp", "tls", "verbs", "dpdk". invalid_argument: unknown; the message lists those
// of this build. Otherwise the errors of the fabric's make().
Result<std::unique_ptr<Fabric>> open_fabric(std::string_view scheme,
                                            const FabricOptions& options = {});

}  // namespace phub::transport
