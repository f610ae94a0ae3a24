// From what a trainer calls the hub to the address that is connected to.
//
//   shm://PATH, SCHEME://HOST:PORT   as they are
//   auto://HOST:PORT, or HOST:PORT   the hub there is asked who it is: shared memory if it runs on
//                                    this host and its socket is here, TCP otherwise
#pragma once

#include <phub/status.h>

#include <string>
#include <string_view>

#include "base/clock.h"
#include "exchange/address.h"
#include "exchange/session_auth.h"

namespace phub::client {

struct ChosenAddress {
  exchange::Address address;
  std::string why;  // "it runs on this host"; empty where nothing was chosen.

  // "shm:///tmp/phub.sock", "tcp://10.0.0.7:7077, because the boot ids differ"
  std::string to_text() const;
};

// invalid_argument: neither of the forms above. Connects to nothing.
Status check_hub_address(std::string_view text);

// Of one hub. Blocks for an `auto` address, until `deadline` at the latest; logs what was chosen.
// invalid_argument: as check_hub_address, or what listens there is no hub.  unavailable, not_found,
// timed_out: nothing there answers. boot_id: this machine's.
Result<ChosenAddress> choose_address(std::string_view text, base::Instant deadline,
                                     std::string_view boot_id = exchange::read_boot_id());

}  // namespace phub::client
