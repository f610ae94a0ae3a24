// Where a hub listens, as trainers write it: "shm:///tmp/phub.sock".
#pragma once

#include <phub/status.h>

#include <string>
#include <string_view>

namespace phub::client {

struct HubAddress {
  std::string fabric;       // The scheme: which network moves the chunks.
  std::string socket_path;  // Of the hub's session socket; absolute.
};

// invalid_argument: no scheme, or no absolute path of a socket; says what is wanted. Whether the
// scheme names a fabric of this build is transport::open_fabric's to say.
Result<HubAddress> parse_hub_address(std::string_view text);

}  // namespace phub::client
