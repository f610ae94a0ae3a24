// What a failed TCP connection means for whoever reads the message, and what to do.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <phub/status.h>

#include "transport/tcp_socket.h"

namespace phub::transport {

// "Connection refused: nothing listens there; ..." for an errno of connect().
std::string describe_connect_error(int error, const SocketAddress& address);

// What a worker adds when a link to a shard cannot be made though its session stands.
std::string describe_link_failure(const std::string& failure);

// The name or address leads to nothing but the loopback. False for an empty or unknown name.
bool is_loopback_host(const std::string& host);

// `offered`: the host of a hub's offer, and what it resolves to here. invalid_argument: it is this
// machine's loopback, but the session goes to `hub_host` on another machine, so nothing of the
// hub's can be there.
Status check_offered_host(std::string_view offered, const std::vector<SocketAddress>& addresses,
                          const std::string& hub_host);

}  // namespace phub::transport
