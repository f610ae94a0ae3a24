// What the two halves of a TCP link tell each other: where to connect, and how the connection
// proves which link it is.
#pragma once

#include <phub/status.h>

#include <array>
#include <string>

#include "transport/fabric.h"

namespace phub::transport {

// The first bytes on a link's connection, drawn by the acceptor for each link: whoever does not
// know them is cut off.
using TcpToken = std::array<std::byte, 16>;

struct TcpOffer {
  TcpToken token = {};
  std::string host;   // Empty: the host by which the worker reached the hub.
  uint16_t port = 0;  // Not 0.
};

std::string encode_tcp_offer(const TcpOffer& offer, const LinkOptions& options);
// invalid_argument: malformed, or its numbers are not those of `options` (the connector's).
Result<TcpOffer> decode_tcp_offer(std::string_view blob, const LinkOptions& options);

std::string encode_tcp_answer(const LinkOptions& options);
// invalid_argument: malformed, or a slot of the peer holds less than options.peer_slot_bytes.
Status check_tcp_answer(std::string_view blob, const LinkOptions& options);

}  // namespace phub::transport
