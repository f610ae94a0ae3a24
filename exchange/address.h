// Where a hub listens, as trainers and operators write it: "shm:///tmp/phub.sock",
// "tcp://10.0.0.7:7077", "tls://hub.rack8:7078", "verbs://[fe80::1]:7079". The schemes are those of
// base/scheme.h.
#pragma once

#include <phub/status.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/host_port.h"

namespace phub::exchange {

struct Address {
  std::string fabric;        // The scheme: which network moves the chunks.
  std::string socket_path;   // shm: of the hub's session socket; absolute.
  base::HostPort host_port;  // All others: of the hub's sessions, over TCP.

  bool is_local() const { return !socket_path.empty(); }
  bool is_encrypted() const { return fabric == "tls"; }
};

// invalid_argument: no scheme that this build knows, no absolute path, no HOST:PORT; says what is
// wanted.
Result<Address> parse_address(std::string_view text);
// The same for a list with commas between, and perhaps spaces.
Result<std::vector<Address>> parse_addresses(std::string_view text);
std::string to_text(const Address& address);

}  // namespace phub::exchange
