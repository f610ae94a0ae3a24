// TCP sockets: listening, connecting without blocking, and the options that links and sessions
// want. Thread-safety: any thread.
#pragma once

#include <phub/status.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/host_port.h"

namespace phub::transport {

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t bytes = 0;
};

// All addresses of a host, IPv4 and IPv6. Asks the resolver for names, which may take seconds.
// not_found: the resolver knows none.
Result<std::vector<SocketAddress>> resolve(const base::HostPort& address);
std::string to_text(const SocketAddress& address);    // "10.0.0.7:7077"
std::string host_text(const SocketAddress& address);  // "10.0.0.7"
// Of the other end of a connection; not valid for a socket without one.
SocketAddress peer_of(int socket);

// A nonblocking listener; `bound` gets the port that was taken. already_exists: the port is taken,
// and by whom. unavailable: the address is not this machine's.
Result<base::Fd> listen_tcp(const base::HostPort& address, base::HostPort* bound);
// A nonblocking connection, not valid: nobody was waiting. resource_exhausted: no descriptors left.
Result<base::Fd> accept_tcp(int listener);
// Begins to connect; the socket becomes writable when that is decided: see connect_error().
Result<base::Fd> start_connect(const SocketAddress& address);
// ok, or why the connection could not be made: refused, unreachable, timed out.
Status connect_error(int socket, const SocketAddress& address);

// Connects, to the first address of the host that answers. unavailable: nobody listens there, no
// route.  timed_out: no answer by the deadline.  not_found: no such host.
Result<base::Fd> connect_tcp(const base::HostPort& address, base::Instant deadline);

}  // namespace phub::transport
