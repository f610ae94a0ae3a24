// "127.0.0.1:7070": where something is served.
#pragma once

#include <phub/status.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace phub::base {

struct HostPort {
  std::string host;   // Without brackets: "::1".
  uint16_t port = 0;  // 0: any free port.

  bool operator==(const HostPort&) const = default;
};

// "127.0.0.1:7070", "localhost:0", "[::1]:7070". invalid_argument: a phrase that fits behind
// `NAME = VALUE: `.
Result<HostPort> parse_host_port(std::string_view text);
// The same for who listens: HOST may also be an interface, "eth1:7077", or a block of addresses,
// "10.1.0.0/16:7077", "[fd00::/64]:7077". What it means here: local_address.h.
Result<HostPort> parse_listen_host_port(std::string_view text);
std::string to_text(const HostPort& address);

// 127.0.0.0/8, ::1 or localhost: nobody outside this machine can reach it.
bool is_loopback(std::string_view host);

}  // namespace phub::base
