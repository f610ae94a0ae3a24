// The worker's end of a session on a Unix socket, a TCP connection or TLS, with a small thread of
// its own.
//
// The thread reads, writes and keeps the session alive while the trainer computes: it sends a
// heartbeat when nothing was sent for peer_timeout / 4, swallows the peer's, takes peer_timeout
// from the Welcome that passes through, and ends the channel when the hub closes it, sends broken
// bytes, or is silent for peer_timeout. Before the Welcome there are no heartbeats and silence is
// the caller's to judge: it has a deadline for joining.
#pragma once

#include <phub/status.h>

#include <chrono>
#include <memory>
#include <string>

#include "exchange/address.h"
#include "exchange/session_channel.h"
#include "transport/tls_context.h"

namespace phub::exchange {

// Connects to the hub; errors as connect_unix and connect_tcp, by `timeout` at the latest.
// tls: not null for addresses of fabric tls; the handshake is part of it. permission_denied: one
// side refuses the other's certificate, or the hub does not speak TLS.
// The channel: one user thread (and its own). fd() is an eventfd, readable while there are messages
// or once the channel has ended; receive() that returns nothing resets it. The destructor gives
// queued messages up to 200 ms to leave, then closes.
Result<std::unique_ptr<SessionChannel>> connect_session(const Address& hub,
                                                        std::chrono::milliseconds timeout,
                                                        const transport::TlsContext* tls = nullptr);

// The same over a stream that is connected already.
Result<std::unique_ptr<SessionChannel>> make_session(transport::ByteStream stream);

}  // namespace phub::exchange
