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
};

// scheme: "shm", "tcp", "tls", "verbs". invalid_argument: unknown; the message lists those of this
// build. Otherwise the errors of the fabric's make().
Result<std::unique_ptr<Fabric>> open_fabric(std::string_view scheme,
                                            const FabricOptions& options = {});

}  // namespace phub::transport
