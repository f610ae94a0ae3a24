// A messenger's thread, and the coming and going of peers.
#include "worker_lib/messenger_core.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <thread>

#include "base/try.h"
#include "exchange/session_auth.h"

namespace phub {
namespace {

using client::JoinedPeer;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr size_t kEventBatch = 64;
constexpr milliseconds kCheckInterval{20};  // Of sessions, while there is always something to do.
constexpr milliseconds kRetryPause{20};
constexpr milliseconds kFarewellTime{200};

nanoseconds spin_time() {
  const size_t cores = base::allowed_cores().size();
  return std::chrono::microseconds(cores >= 4 ? 20 : cores > 1 ? 2 : 0);
}

std::string host_name() {
  char name[256] = "?";
  ::gethostname(name, sizeof(name) - 1);
  return name;
}

base::Instant deadline_after(milliseconds timeout) {
  constexpr milliseconds kMax = std::chrono::hours(24 * 365);
  return base::now() + std::clamp(timeout, milliseconds(0), kMax);
}

std::string seconds(milliseconds time) {
  const int64_t tenths = time.count() / 100;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

Status check(const MessengerOptions& options) {
  if (options.number > kMessengerNumberMax) {
    return Status(Code::invalid_argument, "messenger number " + std::to_string(options.number) +
                                              "; at most " + std::to_string(kMessengerNumberMax));
  }
  const bool is_token = std::all_of(options.name.begin(), options.name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  });
  if (options.name.empty() || options.name.size() > 64 || !is_token) {
    return Status(Code::invalid_argument, "messenger name \"" + options.name +
                                              "\"; want 1 to 64 letters, digits, -, _ and .");
  }
  if (options.peer_timeout < milliseconds(10) || options.peer_timeout > std::chrono::hours(24)) {
    return Status(Code::invalid_argument,
                  "peer_timeout = " + std::to_string(options.peer_timeout.count()) +
                      " ms; want 10 ms to a day");
  }
  return {};
}

}  // namespace

Messenger::Impl::Impl(const MessengerOptions& options) : options_(options), spin_(spin_time()) {
  self_.name = options.name;
  self_.key = exchange::derive_key(options.secret, options.name);
  self_.number = options.number;
  self_.process = ::getpid();
  self_.host = host_name();
  self_.peer_timeout = options.peer_timeout;
  self_.shared_memory = options.shared_memory;
}

Result<std::shared_ptr<Messenger::Impl>> Messenger::Impl::open(const MessengerOptions& options) {
  PHUB_TRY(check(options));
  std::shared_ptr<Impl> impl(new Impl(options));
  PHUB_TRY_ASSIGN(impl->wake_, base::make_event_fd());
  if (!options.listen.empty()) {
    PHUB_TRY_ASSIGN(impl->door_, client::MessengerDoor::listen(impl->self_, options));
  }
  impl->thread_ = base::Thread("phub-messenger", -1, [raw = impl.get()] { raw->run(); });
  return impl;
}

Messenger::Impl::~Impl() { close(); }

void Messenger::Impl::close() {
  {
    Lock lock(mutex_);
    if (is_closed_) return;
    is_closed_ = is_closing_ = true;
    for (Peer* peer : up_) peer->joined->mailbox->send_farewell();
    wake();
    news_.wait_for(lock, options_.linger, [this] { return are_all_drained(); });
    is_stopping_ = true;
    wake();
  }
  thread_.join();
  Lock lock(mutex_);
  for (Peer* peer : up_) say_leave(*peer);
  const Status why(Code::aborted, "the Messenger was destroyed before it ended");
  while (!up_.empty()) end_peer(*up_.back(), why);
  while (!posted_.empty()) complete(posted_.front(), why);
  run_calls(lock);
  handler_ = {};
  peer_handler_ = {};
}

bool Messenger::Impl::are_all_drained() const {
  return std::all_of(up_.begin(), up_.end(), [](const Peer* peer) {
    return peer->backlog.empty() && peer->joined->mailbox->is_drained();
  });
}

void Messenger::Impl::say_leave(Peer& peer) {
  exchange::SessionStream& stream = peer.joined->stream;
  stream.queue({exchange::Leave{}, {}});
  const base::Instant deadline = base::now() + kFarewellTime;
  while (stream.write().ok() && stream.wants_write() && base::now() < deadline) {
    pollfd wait = {stream.fd(), POLLOUT, 0};
    ::poll(&wait, 1, 10);
  }
}

void Messenger::Impl::wake() {
  if (is_sleeping_) base::signal_event(wake_.get());
}

void Messenger::Impl::run() {
  Lock lock(mutex_);
  base::Instant busy = base::now();
  while (!is_stopping_) {
    const base::Instant now = base::now();
    size_t work = poll_all(now);
    if (has_calls()) {
      run_calls(lock);
      ++work;
    }
    if (is_closing_) news_.notify_all();
    if (work > 0) busy = now;
    if (now - last_check_ >= kCheckInterval || (work == 0 && now - busy >= spin_)) {
      sleep(lock);
    } else {
      lock.unlock();
      ::sched_yield();  // Let others in: a mutex is not fair.
      lock.lock();
    }
  }
}

size_t Messenger::Impl::poll_all(base::Instant now) {
  size_t work = 0;
  for (size_t i = 0; i < up_.size(); ++i) {
    Peer* const peer = up_[i];
    work += poll_peer(*peer);
    if (!peer->joined->mailbox->is_lost()) continue;
    // What its session says is the better reason.
    hear(*peer, now);
    if (peer->is_up) {
      const std::string why =
          peer->has_left ? peer->text + " has left" : peer->joined->mailbox->reason();
      end_peer(*peer, Status(Code::unavailable, why));
    }
    --i;
  }
  return work;
}

size_t Messenger::Impl::poll_peer(Peer& peer) {
  std::array<transport::Event, kEventBatch> events;
  exchange::Mailbox& mailbox = *peer.joined->mailbox;
  const size_t count = peer.joined->fabric->poll(base::now(), events);
  for (size_t i = 0; i < count; ++i) mailbox.on_event(events[i]);
  size_t work = count;
  while (true) {
    const bool takes_mail = held_bytes_ < options_.unexpected_bytes_max;
    const std::optional<exchange::MailEvent> event = mailbox.next(takes_mail);
    if (!event.has_value()) break;
    on_event(peer, *event);
    ++work;
  }
  while (!peer.backlog.empty() && mailbox.send(peer.backlog.front())) {
    peer.backlog.pop_front();
    ++work;
  }
  return work + mailbox.pump();
}

bool Messenger::Impl::arm_all() {
  for (size_t i = 0; i < up_.size(); ++i) {
    if (up_[i]->joined->fabric->arm()) continue;
    for (size_t j = 0; j < i; ++j) up_[j]->joined->fabric->disarm();
    return false;
  }
  return true;
}

// Looks at all sockets; waits for them where there is nothing else to do.
void Messenger::Impl::sleep(Lock& lock) {
  const base::Instant start = base::now();
  const bool is_armed = !is_stopping_ && arm_all();
  base::Instant next = start + std::chrono::seconds(1);
  fds_.clear();
  fds_.push_back({wake_.get(), POLLIN, 0});
  const std::vector<Peer*> watched = up_;
  for (const Peer* peer : watched) {
    const JoinedPeer& joined = *peer->joined;
    const auto writes = static_cast<short>(joined.stream.wants_write() ? POLLOUT : 0);
    fds_.push_back({joined.stream.fd(), static_cast<short>(POLLIN | writes), 0});
    fds_.push_back({joined.fabric->fd(), POLLIN, 0});
    next =
        std::min({next, joined.fabric->next_deadline(), peer->last_said + joined.peer_timeout / 4,
                  peer->last_heard + joined.peer_timeout});
  }
  const size_t door_at = fds_.size();
  if (door_ != nullptr) {
    door_->watch(fds_);
    next = std::min(next, door_->next_deadline());
  }
  const nanoseconds left = is_armed ? std::max(next - start, nanoseconds(0)) : nanoseconds(0);
  is_sleeping_ = true;
  lock.unlock();
  ::poll(fds_.data(), fds_.size(), static_cast<int>(std::chrono::ceil<milliseconds>(left).count()));
  lock.lock();
  is_sleeping_ = false;
  if (fds_[0].revents != 0) base::drain_event(wake_.get());
  const base::Instant now = last_check_ = base::now();
  for (size_t i = 0; i < watched.size(); ++i) {
    Peer& peer = *watched[i];
    if (is_armed && peer.joined != nullptr) peer.joined->fabric->disarm();
    if (fds_[1 + 2 * i].revents != 0 && peer.is_up) hear(peer, now);
    if (peer.is_up) check_times(peer, now);
  }
  if (door_ != nullptr) {
    door_->take(std::span(fds_).subspan(door_at), now,
                [this](JoinedPeer joined) { add_peer(std::move(joined)); });
  }
}

void Messenger::Impl::hear(Peer& peer, base::Instant now) {
  std::vector<exchange::Message> messages;
  const Status status = peer.joined->stream.read(messages);
  if (!messages.empty()) peer.last_heard = now;
  for (const exchange::Message& message : messages) {
    if (std::holds_alternative<exchange::Leave>(message.body)) {
      peer.has_left = true;
      return end_peer(peer, Status(Code::unavailable, peer.text + " has left"));
    }
    if (const auto* failure = std::get_if<exchange::Failure>(&message.body)) {
      return end_peer(peer, Status(Code::unavailable, peer.text + ": " + failure->message));
    }
  }
  if (status.ok()) return;
  const std::string why = peer.has_left ? " has left" : " is gone: " + status.message();
  end_peer(peer, Status(Code::unavailable, peer.text + why));
}

void Messenger::Impl::check_times(Peer& peer, base::Instant now) {
  const nanoseconds timeout = peer.joined->peer_timeout;
  if (now - peer.last_heard >= timeout) {
    hear(peer, now);  // Its words may be waiting, where this process itself was stopped.
    if (!peer.is_up || now - peer.last_heard < timeout) return;
    const auto silence = std::chrono::duration_cast<milliseconds>(now - peer.last_heard);
    return end_peer(
        peer, Status(Code::unavailable, peer.text + " has been silent for " + seconds(silence)));
  }
  exchange::SessionStream& stream = peer.joined->stream;
  if (now - peer.last_said >= timeout / 4) {
    if (!stream.wants_write()) stream.queue({exchange::Heartbeat{}, {}});
    peer.last_said = now;
  }
  if (stream.wants_write()) {
    [[maybe_unused]] const Status written = stream.write();  // The next read finds the end.
  }
}

PeerId Messenger::Impl::add_peer(JoinedPeer joined) {
  auto peer = std::make_unique<Peer>();
  peer->id = PeerId{static_cast<uint32_t>(peers_.size())};
  peer->number = joined.number;
  peer->text = joined.text;
  peer->joined = std::make_unique<JoinedPeer>(std::move(joined));
  peer->last_heard = peer->last_said = base::now();
  up_.push_back(peer.get());
  peers_.push_back(std::move(peer));
  if (is_closing_) up_.back()->joined->mailbox->send_farewell();
  Call call;
  call.kind = 2;
  call.peer = peers_.back()->id;
  calls_.push_back(std::move(call));
  news_.notify_all();
  return peers_.back()->id;
}

// What has come is still handed out; all else ends.
void Messenger::Impl::end_peer(Peer& peer, const Status& why) {
  if (!peer.is_up) return;
  peer.end = why;
  while (poll_peer(peer) > 0 && !peer.joined->mailbox->is_lost()) {
  }
  peer.is_up = false;
  std::erase(up_, &peer);
  peer.joined->fabric->disarm();
  peer.joined.reset();
  for (const StateRef& state : peer.sends) {
    if (state != nullptr) complete(state, why);
  }
  peer.sends.clear();
  peer.backlog.clear();
  for (uint32_t id = 0; id < exchange::kMailIdCount; ++id) on_received(peer, id, false);
  std::erase_if(unexpected_, [&peer](const Unexpected& one) {
    return one.peer == &peer && one.arrival->stage != Arrival::Stage::whole;
  });
  hand_over(peer);
  std::vector<StateRef> waiting;
  for (const StateRef& state : posted_) {
    if (state->peer == peer.id) waiting.push_back(state);
  }
  for (const StateRef& state : waiting) complete(state, why);
  Call call;
  call.kind = 2;
  call.peer = peer.id;
  call.status = why;
  calls_.push_back(std::move(call));
  news_.notify_all();
  wake();
}

bool Messenger::Impl::has_calls() const { return !calls_.empty(); }

void Messenger::Impl::run_calls(Lock& lock) {
  while (!calls_.empty()) {
    Call call = std::move(calls_.front());
    calls_.pop_front();
    const Handler handler = call.kind == 1 ? handler_ : Handler();
    const PeerHandler peer_handler = call.kind == 2 ? peer_handler_ : PeerHandler();
    lock.unlock();
    if (call.state != nullptr) call.state->callback(call.state->status);
    if (handler) handler(std::move(call.message));
    if (peer_handler) peer_handler(call.peer, call.status);
    call.state.reset();
    call.message = {};
    lock.lock();
    if (call.held_bytes == 0) continue;
    const bool was_full = held_bytes_ >= options_.unexpected_bytes_max;
    held_bytes_ -= call.held_bytes;
    if (was_full) news_.notify_all();
    for (Peer* peer : std::vector<Peer*>(up_)) hand_over(*peer);
  }
}

Result<PeerId> Messenger::Impl::connect(std::string_view address, milliseconds timeout) {
  const std::string what = "connect to " + std::string(address);
  PHUB_TRY(client::check_hub_address(address).with_context(what));
  const base::Instant deadline = deadline_after(timeout);
  std::string text(address);
  if (!options_.shared_memory && text.find("://") == std::string::npos) text = "tcp://" + text;
  while (true) {
    Result<client::ChosenAddress> chosen = client::choose_address(text, deadline);
    Status status = chosen.status();
    if (chosen.ok()) {
      Result<JoinedPeer> joined = client::join_messenger(self_, *chosen, deadline);
      if (joined.ok()) {
        const Lock lock(mutex_);
        const PeerId peer = add_peer(std::move(joined).value());
        wake();
        return peer;
      }
      status = joined.status();
    }
    const bool may_come = status.code() == Code::unavailable || status.code() == Code::timed_out;
    if (!may_come) return status.with_context(what);
    if (base::now() + kRetryPause >= deadline) {
      return Status(Code::timed_out, what + ": no messenger answered within " + seconds(timeout) +
                                         ": " + status.message());
    }
    std::this_thread::sleep_for(kRetryPause);
  }
}

Result<PeerId> Messenger::Impl::wait_for_peer(uint32_t number, milliseconds timeout) {
  Lock lock(mutex_);
  const base::Instant deadline = deadline_after(timeout);
  while (true) {
    for (const auto& peer : peers_) {
      if (peer->is_up && peer->number == number) return peer->id;
    }
    const nanoseconds left = deadline - base::now();
    if (left.count() <= 0) break;
    news_.wait_for(lock, left);
  }
  for (const auto& peer : peers_) {
    if (peer->number == number) return peer->end;
  }
  return Status(Code::timed_out,
                "peer " + std::to_string(number) + " has not connected within " + seconds(timeout));
}

Messenger::Impl::Peer* Messenger::Impl::find(PeerId peer) const {
  const auto index = static_cast<uint32_t>(peer);
  return index < peers_.size() ? peers_[index].get() : nullptr;
}

Status Messenger::Impl::missing(PeerId peer) const {
  return Status(Code::invalid_argument, "peer " + std::to_string(static_cast<uint32_t>(peer)) +
                                            " of this Messenger does not exist");
}

uint32_t Messenger::Impl::number_of(PeerId id) const {
  const Lock lock(mutex_);
  const Peer* const peer = find(id);
  return peer == nullptr ? UINT32_MAX : peer->number;
}

std::string Messenger::Impl::describe(PeerId id) const {
  const Lock lock(mutex_);
  const Peer* const peer = find(id);
  return peer == nullptr ? missing(id).message() : peer->text;
}

Status Messenger::Impl::state_of(PeerId id) const {
  const Lock lock(mutex_);
  const Peer* const peer = find(id);
  return peer == nullptr ? missing(id) : peer->end;
}

bool Messenger::Impl::has_left(PeerId id) const {
  const Lock lock(mutex_);
  const Peer* const peer = find(id);
  return peer != nullptr && peer->has_left;
}

std::vector<PeerId> Messenger::Impl::peers() const {
  const Lock lock(mutex_);
  std::vector<PeerId> ids;
  for (const Peer* peer : up_) ids.push_back(peer->id);
  return ids;
}

void Messenger::Impl::disconnect(PeerId id) {
  const Lock lock(mutex_);
  Peer* const peer = find(id);
  if (peer == nullptr || !peer->is_up) return;
  say_leave(*peer);
  end_peer(*peer, Status(Code::unavailable, peer->text + " was disconnected from here"));
}

}  // namespace phub
