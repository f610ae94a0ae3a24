// The door to libphub_dpdk.so, a shared object of its own, so that nothing else needs DPDK: it is
// loaded when the first dpdk fabric is opened, and stays.
#pragma once

#include <phub/status.h>

#include <memory>
#include <string>

#include "config/dpdk_options.h"
#include "transport/wire.h"

namespace phub::transport {

// Raised with every change of what crosses this door: DpdkPlugin, Wire, DpdkOptions, Status.
constexpr uint32_t kDpdkPluginAbi = 2;

struct DpdkPlugin {
  uint32_t abi = 0;
  const char* version = nullptr;  // Of PHub: both sides are of one build.
  Result<std::unique_ptr<Wire>> (*make_wire)(const config::DpdkOptions& options, uint32_t shard,
                                             uint32_t shard_count) = nullptr;
};
constexpr const char* kDpdkPluginFile = "libphub_dpdk.so";
constexpr const char* kDpdkPluginSymbol = "phub_dpdk_plugin";

// Loads the plugin from beside this code's own file or the program's, else from the system's
// library path. unavailable: it is not there or cannot be used; says why and what to install.
// Thread-safe.
Result<const DpdkPlugin*> load_dpdk_plugin();

}  // namespace phub::transport
