#include "transport/open.h"

#include "transport/shm.h"

namespace phub::transport {

Result<std::unique_ptr<Fabric>> open_fabric(std::string_view scheme, const FabricOptions& options) {
  if (scheme == "shm") return ShmFabric::make();
  if (scheme == "tcp") return TcpFabric::make(options.tcp);
  return Status(Code::invalid_argument,
                "fabric \"" + std::string(scheme) + "\" is unknown; this build has: shm, tcp");
}

}  // namespace phub::transport
