// What the two halves of a TCP link tell each other: where to connect, how often, and how a
// connection proves which link it is for.
#pragma once

#include <phub/status.h>

#include <array>
#include <optional>
#include <string>

#include "transport/fabric.h"

namespace phub::transport {

// Drawn by the acceptor for each link: whoever does not know it is cut off.
using TcpToken = std::array<std::byte, 16>;

constexpr uint32_t kTcpStreamsMax = 16;  // Connections of a link.

struct TcpOffer {
  TcpToken token = {};
  std::string host;     // Empty: the host by which the worker reached the hub.
  uint16_t port = 0;    // Not 0.
  uint8_t streams = 1;  // Connections, at most kTcpStreamsMax; all with the same token.
};

std::string encode_tcp_offer(const TcpOffer& offer, const LinkOptions& options);
// invalid_argument: malformed, or its numbers are not those of `options` (the connector's).
Result<TcpOffer> decode_tcp_offer(std::string_view blob, const LinkOptions& options);

std::string encode_tcp_answer(const LinkOptions& options);
// invalid_argument: malformed, or a slot of the peer holds less than options.peer_slot_bytes.
Status check_tcp_answer(std::string_view blob, const LinkOptions& options);

// The first bytes on a connection: which link it is for, and which of its connections it is.
using TcpHello = std::array<std::byte, 25>;
struct TcpGreeting {
  TcpToken token = {};
  uint8_t stream = 0;  // Below the offer's `streams`.
};
TcpHello encode_tcp_hello(const TcpGreeting& greeting);
// Nothing: it is no greeting.
std::optional<TcpGreeting> decode_tcp_hello(const TcpHello& hello);

}  // namespace phub::transport
