// How two messengers become peers: the session of exchange/session.h with the listener in the
// hub's place, up to a link with a mailbox on it.
//
//   connector                             listener
//   hello{name, number, fabric}   ->
//                                 <-      challenge{nonce}
//   proof{hmac}                   ->
//                                 <-      welcome{who}, offer{number + 1, link}
//   answer{link}                  ->
//                                 <-      start
//   probe{nonce}                  ->      instead of hello; then probed{...}, and the end
//
// Afterwards heartbeats, and `leave` at the end.
#pragma once

#include <phub/message.h>

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "exchange/mailbox.h"
#include "exchange/session_stream.h"
#include "transport/fabric.h"
#include "worker_lib/choose_address.h"

namespace phub::client {

// Who this messenger is.
struct MessengerIdentity {
  std::string name;
  std::string key;  // derive_key of the secret.
  uint32_t number = 0;
  int64_t process = 0;
  std::string host;
  std::chrono::milliseconds peer_timeout{5000};
  bool shared_memory = true;

  std::string who() const;  // "process 4711 on node7"
};

// Two who are peers now, as one of them sees it.
struct JoinedPeer {
  exchange::SessionStream stream;
  std::unique_ptr<transport::Fabric> fabric;
  std::unique_ptr<exchange::Mailbox> mailbox;  // After `fabric`, which it uses.
  uint32_t number = 0;
  std::string text;  // "peer 3 (process 4711 on node7, shm)"
  std::chrono::nanoseconds peer_timeout{0};
};

// The connector's half; blocks until `deadline` at the latest. unavailable: nobody there.
Result<JoinedPeer> join_messenger(const MessengerIdentity& self, const ChosenAddress& address,
                                  base::Instant deadline);

// The listener's half: one connection that has not become a peer yet. Thread-safety: none.
class MessengerGuest {
 public:
  // listen: what a probe is told. address: of the listener that it came by.
  MessengerGuest(const MessengerIdentity& self, base::Fd socket, exchange::Address address,
                 base::Instant deadline);

  enum class Outcome : uint8_t { waiting, joined, over };
  // Takes what has come. `probed` answers who asks who is there.
  Outcome advance(const exchange::Probed& probed, const std::string& boot_id);
  JoinedPeer take() { return std::move(*joined_); }  // REQUIRES: joined.

  int fd() const { return stream_->fd(); }
  bool wants_write() const { return stream_->wants_write(); }
  base::Instant deadline() const { return deadline_; }
  const Status& end() const { return end_; }  // Why it is over.

 private:
  Status on_message(exchange::Message& message);
  Status on_hello(const exchange::Hello& hello);
  Status on_proof(const exchange::Proof& proof);
  Status on_answer(exchange::Message& message);

  const MessengerIdentity& self_;
  std::unique_ptr<exchange::SessionStream> stream_;
  exchange::Address address_;
  base::Instant deadline_;
  exchange::Hello hello_;
  bool has_hello_ = false;
  std::string nonce_;
  std::unique_ptr<transport::Fabric> fabric_;
  std::unique_ptr<exchange::Mailbox> mailbox_;
  transport::LinkId link_{0};
  std::string text_;
  std::unique_ptr<JoinedPeer> joined_;
  Status end_;
};

}  // namespace phub::client
