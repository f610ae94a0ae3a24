#include "transport/open.h"

#include "base/try.h"
#include "transport/datagram.h"
#include "transport/dpdk_plugin.h"
#include "transport/shm.h"
#include "transport/verbs.h"

namespace phub::transport {

namespace {

Result<std::unique_ptr<Fabric>> open_dpdk(const FabricOptions& options) {
  PHUB_TRY_ASSIGN(const DpdkPlugin* const plugin, load_dpdk_plugin());
  PHUB_TRY_ASSIGN(std::unique_ptr<Wire> wire,
                  plugin->make_wire(options.dpdk, options.shard, options.shard_count));
  return std::unique_ptr<Fabric>(
      std::make_unique<DatagramFabric>(std::move(wire), DatagramOptions()));
}

}  // namespace

Result<std::unique_ptr<Fabric>> open_fabric(std::string_view scheme, const FabricOptions& options) {
  if (scheme == "shm") return ShmFabric::make();
  if (scheme == "tcp" || scheme == "tls") {
    if ((options.tcp.tls != nullptr) == (scheme == "tls")) return TcpFabric::make(options.tcp);
    return Status(Code::invalid_argument, "fabric \"" + std::string(scheme) +
                                              "\": tls goes with certificates, tcp without");
  }
  if (scheme == "verbs") return VerbsFabric::make(options.rdma);
  if (scheme == "dpdk") return open_dpdk(options);
  return Status(Code::invalid_argument,
                "fabric \"" + std::string(scheme) +
                    "\" is unknown; this build has: shm, tcp, tls, verbs, dpdk");
}

}  // namespace phub::transport
