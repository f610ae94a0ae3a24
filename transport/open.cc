#include "transport/open.h"

#include "transport/shm.h"
#include "transport/verbs.h"

namespace phub::transport {

Result<std::unique_ptr<Fabric>> open_fabric(std::string_view scheme, const FabricOptions& options) {
  if (scheme == "shm") return ShmFabric::make();
  if (scheme == "tcp" || scheme == "tls") {
    if ((options.tcp.tls != nullptr) == (scheme == "tls")) return TcpFabric::make(options.tcp);
    return Status(Code::invalid_argument, "fabric \"" + std::string(scheme) +
                                              "\": tls goes with certificates, tcp without");
  }
  if (scheme == "verbs") return VerbsFabric::make(options.rdma);
  return Status(Code::invalid_argument, "fabric \"" + std::string(scheme) +
                                            "\" is unknown; this build has: shm, tcp, tls, verbs");
}

}  // namespace phub::transport
