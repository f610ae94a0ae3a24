// Fabrics by name: the scheme of a hub's address chooses one.
#pragma once

#include <memory>

#include "transport/fabric.h"

namespace phub::transport {

// scheme: "shm". invalid_argument: unknown; the message lists those of this build.
Result<std::unique_ptr<Fabric>> open_fabric(std::string_view scheme);

}  // namespace phub::transport
