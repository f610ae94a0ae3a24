// What the two halves of a datagram link tell each other before the first packet.
#pragma once

#include <phub/status.h>

#include <string>
#include <vector>

#include "transport/fabric.h"
#include "transport/wire.h"

namespace phub::transport {

struct DatagramBootstrap {
  enum class Role : uint8_t { offer = 0, answer = 1 };
  Role role = Role::offer;
  WireAddress address = {};
  uint32_t mtu = 0;
  uint32_t link = 0;
  uint64_t cookie = 0;
  uint64_t offer_cookie = 0;  // Answers: which offer is answered.
  uint32_t peer_slot_count = 0;
  uint32_t acceptor_puts_max = 0;
  uint32_t connector_puts_max = 0;
  std::vector<uint32_t> slot_bytes = {};  // On the wire as runs of equal sizes.
};

std::string encode(const DatagramBootstrap& bootstrap);
// invalid_argument: malformed, of the other role, or with more slots than expected.
Result<DatagramBootstrap> decode_bootstrap(const std::string& blob, DatagramBootstrap::Role role,
                                           uint32_t slot_count_max);
// invalid_argument: the peer's view of the link is not ours; the message has the numbers.
Status check_bootstrap(const DatagramBootstrap& peer, const LinkOptions& options);

}  // namespace phub::transport
