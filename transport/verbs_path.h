// The way from a port of this machine to a peer's, as queue pairs and letters want it said.
#pragma once

#include "transport/verbs_bootstrap.h"
#include "transport/verbs_device.h"

namespace phub::transport {

ibv_ah_attr path_to(const VerbsAddress& peer, const VerbsDevice& device,
                    const config::RdmaOptions& options);
VerbsAddress address_of(const VerbsDevice& device);

}  // namespace phub::transport
