// One end of a session, as protocol code sees it: messages in, messages out, and death.
//
// Implementations: SocketChannel (a Unix socket), and the simulator's. Heartbeats are the channel's
// own business: they are sent and swallowed below this interface, and silence ends it.
#pragma once

#include <optional>

#include "base/clock.h"
#include "exchange/session.h"

namespace phub::exchange {

class SessionChannel {
 public:
  virtual ~SessionChannel() = default;
  // Queues a message; never blocks. After the end it is dropped.
  virtual void send(Message message) = 0;
  // The next message that has come, if any.
  virtual std::optional<Message> receive(base::Instant now) = 0;
  // ok while alive; afterwards why it ended: "connection closed", "silent for 5.0 s". Messages that
  // came before the end can still be received.
  virtual Status state() const = 0;
  // Readable when receive() or state() has news; -1 in simulation.
  virtual int fd() const = 0;
};

}  // namespace phub::exchange
