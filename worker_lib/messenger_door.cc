#include "worker_lib/messenger_door.h"

#include <unistd.h>

#include <atomic>

#include "base/local_address.h"
#include "base/log.h"
#include "base/try.h"
#include "exchange/listen_address.h"
#include "exchange/session_auth.h"
#include "transport/tcp_listen.h"
#include "transport/tcp_socket.h"

namespace phub::client {
namespace {

constexpr size_t kGuestsMax = 1024;
constexpr std::chrono::seconds kGuestPatience{10};

// A place of its own for each messenger of this process.
std::string private_socket_path() {
  static std::atomic<uint32_t> count = 0;
  const char* const folder = ::getenv("XDG_RUNTIME_DIR");
  const bool is_usable = folder != nullptr && ::access(folder, W_OK) == 0;
  return std::string(is_usable ? folder : "/tmp") + "/phub-messenger-" +
         std::to_string(::getpid()) + "-" + std::to_string(count++) + ".sock";
}

// What others can connect to, for who listens everywhere.
std::string reachable_host(const std::string& host) {
  if (!base::is_wildcard(host)) return host;
  const std::vector<base::LocalAddress> machine = base::local_addresses();
  for (const base::LocalAddress& one : machine) {
    const bool is_ipv6 = one.host.find(':') != std::string::npos;
    if (!base::is_loopback(one.host) && (!is_ipv6 || host == "::")) return one.host;
  }
  return "127.0.0.1";
}

}  // namespace

Result<std::unique_ptr<MessengerDoor>> MessengerDoor::listen(const MessengerIdentity& self,
                                                             const MessengerOptions& options) {
  PHUB_TRY_ASSIGN(const auto addresses,
                  exchange::parse_listen(options.listen, base::local_addresses()));
  std::unique_ptr<MessengerDoor> door(new MessengerDoor(self));
  bool has_socket = false;
  for (const exchange::Address& address : addresses) {
    if (address.fabric != "tcp" && address.fabric != "shm") {
      return Status(Code::unimplemented, "listen at " + exchange::to_text(address) +
                                             ": messengers know tcp:// and shm://");
    }
    PHUB_TRY(door->add(address));
    has_socket |= address.is_local();
  }
  if (!has_socket && options.shared_memory) {
    PHUB_TRY(door->add({"shm", private_socket_path(), {}}));
  }
  door->boot_id_ = exchange::read_boot_id();
  door->probed_.hub = "messenger of " + self.who();
  door->probed_.protocol = exchange::kProtocolVersion;
  door->probed_.instance = exchange::make_nonce();
  for (const Listener& listener : door->listeners_) {
    door->probed_.listen.push_back(exchange::to_text(listener.address));
  }
  const exchange::Address& first = door->listeners_.front().address;
  if (first.is_local()) {
    door->address_ = exchange::to_text(first);
  } else {
    const std::string& host = options.advertise;
    door->address_ = base::to_text(
        {host.empty() ? reachable_host(first.host_port.host) : host, first.host_port.port});
  }
  return door;
}

Status MessengerDoor::add(const exchange::Address& address) {
  Listener listener{{}, address};
  if (address.is_local()) {
    PHUB_TRY_ASSIGN(listener.socket, exchange::listen_unix(address.socket_path));
  } else {
    PHUB_TRY_ASSIGN(listener.socket,
                    transport::listen_at_port(address.host_port, &listener.address.host_port));
  }
  listeners_.push_back(std::move(listener));
  return {};
}

MessengerDoor::~MessengerDoor() {
  for (const Listener& listener : listeners_) {
    if (listener.address.is_local()) ::unlink(listener.address.socket_path.c_str());
  }
}

void MessengerDoor::watch(std::vector<pollfd>& fds) const {
  for (const Listener& listener : listeners_) fds.push_back({listener.socket.get(), POLLIN, 0});
  for (const auto& guest : guests_) {
    const auto writes = static_cast<short>(guest->wants_write() ? POLLOUT : 0);
    fds.push_back({guest->fd(), static_cast<short>(POLLIN | writes), 0});
  }
}

void MessengerDoor::take(std::span<const pollfd> fds, base::Instant now,
                         const std::function<void(JoinedPeer)>& on_peer) {
  for (size_t i = 0; i < guests_.size(); ++i) {
    MessengerGuest& guest = *guests_[i];
    auto outcome = MessengerGuest::Outcome::waiting;
    if (fds[listeners_.size() + i].revents != 0) outcome = guest.advance(probed_, boot_id_);
    if (outcome == MessengerGuest::Outcome::joined) on_peer(guest.take());
    if (outcome == MessengerGuest::Outcome::over && guest.end().code() == Code::permission_denied) {
      base::log(base::LogLevel::warning, "messenger refused a peer: " + guest.end().message());
    }
    if (outcome != MessengerGuest::Outcome::waiting || now >= guest.deadline()) {
      guests_[i].reset();
    }
  }
  std::erase(guests_, nullptr);
  for (size_t i = 0; i < listeners_.size(); ++i) {
    if (fds[i].revents != 0) accept_all(listeners_[i], now);
  }
}

void MessengerDoor::accept_all(const Listener& listener, base::Instant now) {
  while (guests_.size() < kGuestsMax) {
    base::Fd socket;
    if (listener.address.is_local()) {
      Result<exchange::Peer> peer = exchange::accept_unix(listener.socket.get());
      if (!peer.ok()) return base::log(base::LogLevel::warning, peer.status().message());
      socket = std::move(peer->socket);
    } else {
      Result<base::Fd> peer = transport::accept_tcp(listener.socket.get());
      if (!peer.ok()) return base::log(base::LogLevel::warning, peer.status().message());
      socket = std::move(peer).value();
    }
    if (!socket.valid()) return;
    guests_.push_back(std::make_unique<MessengerGuest>(self_, std::move(socket), listener.address,
                                                       now + kGuestPatience));
  }
}

base::Instant MessengerDoor::next_deadline() const {
  base::Instant next{INT64_MAX};
  for (const auto& guest : guests_) next = std::min(next, guest->deadline());
  return next;
}

}  // namespace phub::client
