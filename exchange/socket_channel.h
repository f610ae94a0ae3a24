// The worker's end of a session on a Unix or TCP socket, with a small thread of its own.
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

namespace phub::exchange {

// Connects to the hub; errors as connect_unix and connect_tcp, by `timeout` at the latest.
// The channel: one user thread (and its own). fd() is an eventfd, readable while there are messages
// or once the channel has ended; receive() that returns nothing resets it. The destructor gives
// queued messages up to 200 ms to leave, then closes.
Result<std::unique_ptr<SessionChannel>> connect_session(const Address& hub,
                                                        std::chrono::milliseconds timeout);

// The same over a socket that is connected already.
Result<std::unique_ptr<SessionChannel>> make_session(base::Fd socket);

}  // namespace phub::exchange
