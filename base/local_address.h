// The addresses that this machine has, and which of them somebody means.
//
// "This machine" is this process's network namespace: a container sees its own interfaces only.
#pragma once

#include <phub/status.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace phub::base {

struct LocalAddress {
  std::string interface;  // "eth1"
  std::string host;       // "10.1.0.7", "fd00::7", "fe80::7%eth1"

  bool operator==(const LocalAddress&) const = default;
};

// Of all interfaces, up or not. Empty if the system does not say.
std::vector<LocalAddress> local_addresses();

// "lo 127.0.0.1, eth1 10.1.0.7": for messages.
std::string to_text(std::span<const LocalAddress> machine);

// True: this machine itself, by its loopback or by one of `machine`. `host`: an address.
bool is_own_address(std::string_view host, std::span<const LocalAddress> machine);

// "10.1.0.0/16" and "fd00::/64" are; ok only if address and prefix length are right.
bool is_block(std::string_view name);

// "0.0.0.0" and "::": every address there is.
bool is_wildcard(std::string_view host);

// The one address of `machine` that `name` means:
//   an interface   its IPv4 address; without one its IPv6 address, link-local only for want of
//                  another
//   a block        the address inside it
//   an address     itself, whether or not the machine has it (bind() knows more), and wildcards too
//   a host name    what the resolver says, as far as the machine has it; IPv4 before IPv6
// invalid_argument: none or several; a phrase with what the machine has, fit behind `NAME = VALUE`.
Result<std::string> choose_local_address(std::string_view name,
                                         std::span<const LocalAddress> machine);

}  // namespace phub::base
