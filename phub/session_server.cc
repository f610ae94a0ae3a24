#include "phub/session_server.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>

#include "base/check.h"
#include "base/log.h"
#include "base/try.h"
#include "transport/tcp_socket.h"

namespace phub::hub {
namespace {

constexpr uint64_t kListenersKey = uint64_t{1} << 62;  // + index
constexpr uint64_t kTasksKey = UINT64_MAX;
constexpr std::chrono::milliseconds kCheckInterval{50};
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
                      transport::listen_tcp(address.host_port, &listener.address.host_port));
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
    : options_(options), listeners_(std::move(listeners)), epoll_(std::move(epoll)) {}

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

void SessionServer::accept_all(const Listener& listener, base::Instant now) {
  while (true) {
    Result<base::Fd> socket = accept_one(listener);
    if (!socket.ok()) return base::log(base::LogLevel::warning, socket.status().message());
    if (!socket->valid()) return;
    const SessionId id{next_id_++};
    const auto [entry, inserted] =
        connections_.try_emplace(id, std::move(socket).value(), listener.address.is_local());
    Connection& connection = entry->second;
    connection.opened = connection.last_heard = connection.last_said = now;
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
    if (!can_use_fabric(id, message)) return;
    control_->on_message(id, std::move(message));
    if (!connections_.contains(id)) return;
  }
  if (status.ok()) return;
  if (status.code() == Code::invalid_argument && !connection.is_closing) {
    send(id, {exchange::Failure{static_cast<uint8_t>(status.code()), status.message()}, {}});
    if (!connections_.contains(id)) return;
  }
  drop(id, status);
}

// Shared memory is passed as descriptors, which TCP cannot carry.
bool SessionServer::can_use_fabric(SessionId id, const exchange::Message& message) {
  const auto* const hello = std::get_if<exchange::Hello>(&message.body);
  if (hello == nullptr || hello->fabric != "shm" || connections_.at(id).is_local) return true;
  const Status status(
      Code::invalid_argument,
      "fabric \"shm\" over a TCP session: connect to the hub's shm:// address on its "
      "machine, or use tcp");
  send(id, {exchange::Failure{static_cast<uint8_t>(status.code()), status.message()}, {}});
  if (connections_.contains(id)) drop(id, status);
  return false;
}

void SessionServer::check_times(base::Instant now) {
  next_check_ = now + kCheckInterval;
  std::vector<std::pair<SessionId, Status>> over;
  for (auto& [id, connection] : connections_) {
    const std::chrono::nanoseconds silence = now - connection.last_heard;
    const bool is_late = !connection.is_trusted && now - connection.opened > options_.proof_timeout;
    if (silence > options_.peer_timeout || is_late) {
      over.emplace_back(id,
                        Status(Code::unavailable, is_late ? "it did not prove its secret in time"
                                                          : "silent for " + seconds_text(silence)));
    } else if (connection.stream.queued_bytes() > kQueuedBytesMax) {
      over.emplace_back(id, Status(Code::unavailable, "it does not read what the hub sends"));
    } else if (now - connection.last_said > options_.peer_timeout / 4 && connection.is_trusted) {
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
  if (wants_write != connection.watches_writes) {
    connection.watches_writes = wants_write;
    [[maybe_unused]] const Status watched =
        watch(epoll_.get(), EPOLL_CTL_MOD, connection.stream.fd(), static_cast<uint64_t>(id),
              wants_write);
  }
  if (connection.is_closing && !wants_write) connections_.erase(id);
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
