// Listening on several addresses at one port, which may have to come from a range. Thread-safety:
// any thread.
#pragma once

#include <phub/status.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/host_port.h"

namespace phub::transport {

// What listeners share.
struct TcpDoor {
  std::vector<std::string> hosts;  // At least one.
  uint16_t port_first = 0;         // 0: any free port.
  uint16_t port_last = 0;          // The first that is free, from port_first to here.
};

// One listener for each host, all on the port that is left in `port`. unavailable: an address is
// not this machine's, or every port is taken: names the range and the processes that hold it.
Result<std::vector<base::Fd>> listen_at_door(const TcpDoor& door, uint16_t* port);

// listen_tcp, whose already_exists names who holds the port.
Result<base::Fd> listen_at_port(const base::HostPort& address, base::HostPort* bound);

// "7100 phubd (process 4711), 7101 nobody that this user may see": who listens at these ports of
// this machine, the first few of them. For messages.
std::string describe_port_holders(uint16_t port_first, uint16_t port_last);

}  // namespace phub::transport
