// Where a messenger listens: its sockets, and who has come but is no peer yet.
#pragma once

#include <poll.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "worker_lib/messenger_handshake.h"

namespace phub::client {

// Thread-safety: none.
class MessengerDoor {
 public:
  // self: outlives the door. Errors: as Messenger::open.
  static Result<std::unique_ptr<MessengerDoor>> listen(const MessengerIdentity& self,
                                                       const MessengerOptions& options);
  ~MessengerDoor();

  std::string address() const { return address_; }

  // Appends what to wait for; take() wants the same entries back, from the same place.
  void watch(std::vector<pollfd>& fds) const;
  void take(std::span<const pollfd> fds, base::Instant now,
            const std::function<void(JoinedPeer)>& on_peer);
  base::Instant next_deadline() const;

 private:
  struct Listener {
    base::Fd socket;
    exchange::Address address;
  };

  explicit MessengerDoor(const MessengerIdentity& self) : self_(self) {}
  Status add(const exchange::Address& address);
  void accept_all(const Listener& listener, base::Instant now);

  const MessengerIdentity& self_;
  std::string address_;
  std::string boot_id_;
  exchange::Probed probed_;
  std::vector<Listener> listeners_;
  std::vector<std::unique_ptr<MessengerGuest>> guests_;
};

}  // namespace phub::client
