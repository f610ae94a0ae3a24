// Where a hub listens, as operators write it, on the machine at hand.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/local_address.h"
#include "exchange/address.h"

namespace phub::exchange {

// Addresses with commas between. Where a host is wanted, an interface and a block will do:
// "shm:///tmp/phub.sock,tcp://eth1:7077,tcp://[fd00::/64]:7077"; in the result it is an address.
// invalid_argument: as parse_address, or the host means no address of the machine, or several.
Result<std::vector<Address>> parse_listen(std::string_view text,
                                          std::span<const base::LocalAddress> machine);

// The host that workers are told: an interface or a block as an address of the machine; a host name
// or an address as it is, for it need not be this machine's (behind NAT). Empty stays empty.
Result<std::string> parse_advertise(std::string_view text,
                                    std::span<const base::LocalAddress> machine);

// Hosts to listen on for all links of one fabric: those of the addresses, each once; a wildcard
// stands for all of its family, and "::" for both.
std::vector<std::string> link_hosts(std::span<const Address> listen, std::string_view fabric);

}  // namespace phub::exchange
