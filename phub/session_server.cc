#include "phub/session_server.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/local_address.h"
#include "base/log.h"
#include "base/try.h"
#include "exchange/session_auth.h"
#include "transport/tcp_advice.h"
#include "transport/tcp_listen.h"
#include "transport/tcp_socket.h"

namespace phub::hub {
namespace {

constexpr uint64_t kListenersKey = uint64_t{1} << 62;  // + index
constexpr uint64_t kTasksKey = UINT64_MAX;
constexpr std::chrono::milliseconds kCheckInterval{50};
constexpr uint32_t kProbesMax = 4096;      // At once: a job of the largest size, and then some.
constexpr uint32_t kProbesPerCheck = 200;  // 4,000 a second.
constexpr size_t kQueuedBytesMax = 512u << 20;  // A worker that does not read is cut off.

Status watch(int epoll, int op, int fd, uint64_t key, bool writes) {
  epoll_event event{};
  event.events = EPOLLIN | (writes ? static_cast<uint32_t>(EPOLLOUT) : 0u);
  event.data.u64 = key;
  if (::epoll_ctl(epoll, op, fd, &event) == 0) return {};
  return Status(Code::internal, "watch a descriptor: " + base::errno_text());
}

std::string seconds_text(std::chrono::nanoseconds time) {
  const int64_t tenths = time.count() / 100'000'000;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

}  // namespace

Result<std::unique_ptr<SessionServer>> SessionServer::listen(const SessionServerOptions& options) {
  base::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return Status(Code::internal, "create epoll: " + base::errno_text());
  std::vector<Listener> listeners;
  for (const exchange::Address& address : options.listen) {
    Listener listener{{}, address};
    if (address.is_local()) {
      PHUB_TRY_ASSIGN(listener.socket,
                      exchange::listen_unix(address.socket_path, options.socket_access));
    } else {
      PHUB_TRY_ASSIGN(listener.socket,
                      transport::listen_at_port(address.host_port, &listener.address.host_port));
    }
    PHUB_TRY(watch(epoll.get(), EPOLL_CTL_ADD, listener.socket.get(),
                   kListenersKey + listeners.size(), false));
    listeners.push_back(std::move(listener));
  }
  return std::unique_ptr<SessionServer>(
      new SessionServer(options, std::move(listeners), std::move(epoll)));
}

SessionServer::SessionServer(const SessionServerOptions& options, std::vector<Listener> listeners,
                             base::Fd epoll)
    : options_(options),
      is_advertised_loopback_(transport::is_loopback_host(options.advertise)),
      instance_(exchange::make_nonce()),
      boot_id_(exchange::read_boot_id()),
      probes_left_(kProbesMax),
      listeners_(std::move(listeners)),
      epoll_(std::move(epoll)) {
  if (!is_advertised_loopback_) return;
  base::log(base::LogLevel::warning, "advertise = " + options.advertise +
                                         " is this machine's loopback: workers on other machines "
                                         "will be refused");
}

SessionServer::~SessionServer() {
  for (const Listener& listener : listeners_) {
    if (listener.address.is_local()) ::unlink(listener.address.socket_path.c_str());
  }
}

std::vector<exchange::Address> SessionServer::addresses() const {
  std::vector<exchange::Address> addresses;
  for (const Listener& listener : listeners_) addresses.push_back(listener.address);
  return addresses;
}

void SessionServer::set_limits(const HubLimits& limits) {
  options_.peer_timeout = limits.peer_timeout;
  options_.sessions_max = limits.sessions_max;
}

void SessionServer::poll(std::chrono::milliseconds timeout) {
  if (!watches_tasks_) {
    watches_tasks_ = true;
    PHUB_CHECK(watch(epoll_.get(), EPOLL_CTL_ADD, control_->tasks().fd(), kTasksKey, false).ok());
  }
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                 static_cast<int>(timeout.count()));
  const base::Instant now = base::now();
  for (int i = 0; i < count; ++i) {
    const uint64_t key = events[static_cast<size_t>(i)].data.u64;
    if (key >= kListenersKey && key - kListenersKey < listeners_.size()) {
      accept_all(listeners_[key - kListenersKey], now);
    } else if (key == kTasksKey) {
      control_->tasks().clear_wake();
    } else {
      const SessionId id{key};
      const uint32_t what = events[static_cast<size_t>(i)].events;
      if ((what & EPOLLOUT) != 0 && connections_.contains(id)) write(id, connections_.at(id));
      if ((what & ~static_cast<uint32_t>(EPOLLOUT)) != 0) on_readable(id, now);
    }
  }
  control_->poll(now);
  if (now >= next_check_) check_times(now);
}

// The next peer that may talk; not valid: nobody is waiting.
Result<base::Fd> SessionServer::accept_one(const Listener& listener) {
  if (!listener.address.is_local()) return transport::accept_tcp(listener.socket.get());
  while (true) {
    PHUB_TRY_ASSIGN(exchange::Peer peer, exchange::accept_unix(listener.socket.get()));
    const bool is_known_user = peer.user == ::geteuid() || peer.user == 0;
    const bool are_others_welcome = (options_.socket_access.mode & 0066) != 0;
    if (!peer.socket.valid() || is_known_user || are_others_welcome) {
      return std::move(peer.socket);
    }
    base::log(base::LogLevel::warning, "refused process " + std::to_string(peer.process) +
                                           " of user " + std::to_string(peer.user) +
                                           ": not the hub's user; socket_mode lets others in");
  }
}

Result<transport::ByteStream> SessionServer::accept_stream(const Listener& listener) {
  PHUB_TRY_ASSIGN(base::Fd socket, accept_one(listener));
  if (!socket.valid() || !listener.address.is_encrypted()) {
    return transport::ByteStream(std::move(socket));
  }
  return options_.tls->wrap(std::move(socket));
}

void SessionServer::accept_all(const Listener& listener, base::Instant now) {
  while (true) {
    Result<transport::ByteStream> stream = accept_stream(listener);
    if (!stream.ok()) return base::log(base::LogLevel::warning, stream.status().message());
    if (!stream->valid()) return;
    const SessionId id{next_id_++};
    const auto [entry, inserted] =
        connections_.try_emplace(id, std::move(stream).value(), listener.address);
    Connection& connection = entry->second;
    connection.opened = connection.last_heard = connection.last_said = now;
    connection.peer_timeout = options_.peer_timeout;
    const Status watched = watch(epoll_.get(), EPOLL_CTL_ADD, connection.stream.fd(),
                                 static_cast<uint64_t>(id), false);
    if (!watched.ok()) {
      base::log(base::LogLevel::warning, watched.message());
      connections_.erase(entry);
      continue;
    }
    if (connections_.size() > options_.sessions_max) {
      send(id, {exchange::Failure{static_cast<uint8_t>(Code::resource_exhausted),
                                  "the hub has " + std::to_string(options_.sessions_max) +
                                      " sessions, as many as it may (--sessions-max)"},
                {}});
      close(id);
      continue;
    }
    control_->on_open(id);
  }
}

void SessionServer::on_readable(SessionId id, base::Instant now) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  std::vector<exchange::Message> messages;
  const Status status = connection.stream.read(messages);
  connection.last_heard = now;
  for (exchange::Message& message : messages) {
    if (std::holds_alternative<exchange::Heartbeat>(message.body)) continue;
    if (connection.is_closing) break;
    if (answer_probe(id, message)) return;
    if (!can_use_fabric(id, message)) return;
    control_->on_message(id, std::move(message));
    if (!connections_.contains(id)) return;
  }
  if (status.ok()) {
    if (connection.stream.wants_write()) write(id, connection);  // The handshake may be over.
    return;
  }
  if (status.code() == Code::invalid_argument && !connection.is_closing) {
    send(id, {exchange::Failure{static_cast<uint8_t>(status.code()), status.message()}, {}});
    if (!connections_.contains(id)) return;
  }
  if (status.code() == Code::permission_denied && !connection.is_trusted) {  // TLS says no.
    const std::string peer = transport::to_text(transport::peer_of(connection.stream.fd()));
    base::log(base::LogLevel::warning, "session refused from " + peer + ": " + status.message());
    control_->count_refusal();
  }
  drop(id, status);
}

// Whoever asks is told where to connect, and is gone: what a stranger can make the hub do is one
// hash and one small frame.
bool SessionServer::answer_probe(SessionId id, const exchange::Message& message) {
  const auto* const probe = std::get_if<exchange::Probe>(&message.body);
  if (probe == nullptr) return false;
  if (probes_left_ > 0) {
    --probes_left_;
    exchange::Probed probed;
    probed.hub = options_.name;
    probed.protocol = exchange::kProtocolVersion;
    probed.instance = instance_;
    probed.host_proof = exchange::prove_host(probe->nonce, boot_id_);
    for (const Listener& listener : listeners_) {
      probed.listen.push_back(exchange::to_text(listener.address));
    }
    send(id, {std::move(probed), {}});
  } else {
    send(id, {exchange::Failure{static_cast<uint8_t>(Code::resource_exhausted),
                                "too many probes at once; ask again a little later"},
              {}});
  }
  close(id);
  control_->on_close(id, Status(Code::unavailable, "it asked who is here"));
  return true;
}

// Shared memory is passed as descriptors, which TCP cannot carry; what is said over TLS is not
// undone by links in the clear, nor the other way round; and over a network nobody reaches this
// machine's loopback.
Status SessionServer::check_fabric(const std::string& fabric, const Connection& connection) const {
  if (connection.is_local) return {};
  if (fabric != connection.fabric) {
    return Status(Code::invalid_argument, "fabric \"" + fabric + "\" over a session by " +
                                              connection.fabric + ": connect to the hub's " +
                                              fabric + ":// address" +
                                              (fabric == "shm" ? " on its machine" : ""));
  }
  if (!is_advertised_loopback_) return {};
  const transport::SocketAddress peer = transport::peer_of(connection.stream.fd());
  if (base::is_own_address(transport::host_text(peer), base::local_addresses())) return {};
  return Status(Code::failed_precondition,
                "the hub would tell this worker, which came from " + transport::to_text(peer) +
                    ", to connect to " + options_.advertise +
                    ", the hub's own loopback; set `advertise` of phubd to an address that workers "
                    "can reach, or leave it out");
}

bool SessionServer::can_use_fabric(SessionId id, const exchange::Message& message) {
  const auto* const hello = std::get_if<exchange::Hello>(&message.body);
  if (hello == nullptr) return true;
  const Status status = check_fabric(hello->fabric, connections_.at(id));
  if (status.ok()) return true;
  base::log(base::LogLevel::warning, "session refused: " + status.to_string());
  send(id, {exchange::Failure{static_cast<uint8_t>(status.code()), status.message()}, {}});
  if (connections_.contains(id)) drop(id, status);
  return false;
}

void SessionServer::check_times(base::Instant now) {
  next_check_ = now + kCheckInterval;
  probes_left_ = std::min(kProbesMax, probes_left_ + kProbesPerCheck);
  std::vector<std::pair<SessionId, Status>> over;
  for (auto& [id, connection] : connections_) {
    const std::chrono::nanoseconds silence = now - connection.last_heard;
    const bool is_late = !connection.is_trusted && now - connection.opened > options_.proof_timeout;
    if (silence > connection.peer_timeout || is_late) {
      over.emplace_back(id,
                        Status(Code::unavailable, is_late ? "it did not prove its secret in time"
                                                          : "silent for " + seconds_text(silence)));
    } else if (connection.stream.queued_bytes() > kQueuedBytesMax) {
      over.emplace_back(id, Status(Code::unavailable, "it does not read what the hub sends"));
    } else if (now - connection.last_said > connection.peer_timeout / 4 && connection.is_trusted) {
      connection.last_said = now;
      connection.stream.queue({exchange::Heartbeat{}, {}});
    }
  }
  for (const auto& [id, reason] : over) drop(id, reason);
  for (auto entry = connections_.begin(); entry != connections_.end();) {
    const SessionId id = entry->first;
    Connection& connection = (entry++)->second;
    if (connection.stream.wants_write()) write(id, connection);
  }
}

void SessionServer::send(SessionId id, exchange::Message message) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  found->second.stream.queue(std::move(message));
  found->second.last_said = base::now();
  write(id, found->second);
}

// Broken pipes are left to the next read, which finds the same end: nothing is dropped in here,
// because control may be in the middle of telling everybody something.
void SessionServer::write(SessionId id, Connection& connection) {
  const Status status = connection.stream.write();
  const bool wants_write = status.ok() && connection.stream.wants_write();
  const bool has_unsent = status.ok() && connection.stream.has_unsent();
  if (wants_write != connection.watches_writes) {
    connection.watches_writes = wants_write;
    [[maybe_unused]] const Status watched =
        watch(epoll_.get(), EPOLL_CTL_MOD, connection.stream.fd(), static_cast<uint64_t>(id),
              wants_write);
  }
  if (connection.is_closing && !has_unsent) connections_.erase(id);
}

void SessionServer::close(SessionId id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  found->second.is_closing = true;
  write(id, found->second);
}

void SessionServer::trust(SessionId id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  found->second.is_trusted = true;
  found->second.peer_timeout = options_.peer_timeout;  // As the welcome says.
  found->second.stream.set_frame_limit(exchange::kFrameBytesMax);
}

void SessionServer::drop(SessionId id, const Status& reason) {
  connections_.erase(id);
  control_->on_close(id, reason);
}

void SessionServer::flush(std::chrono::milliseconds patience) {
  const base::Instant deadline = base::now() + patience;
  while (base::now() < deadline) {
    bool is_waiting = false;
    for (auto entry = connections_.begin(); entry != connections_.end();) {
      const SessionId id = entry->first;
      Connection& connection = (entry++)->second;
      write(id, connection);
      is_waiting |= connections_.contains(id) && connections_.at(id).stream.wants_write();
    }
    if (!is_waiting) return;
    poll(std::chrono::milliseconds(5));
  }
}

}  // namespace phub::hub
