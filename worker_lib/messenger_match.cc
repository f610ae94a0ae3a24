// Messages and who wants them.
#include <algorithm>
#include <cstring>

#include "base/try.h"
#include "worker_lib/messenger_core.h"

namespace phub {
namespace {

using exchange::MailEvent;
using exchange::MailEventKind;

std::string seconds(std::chrono::milliseconds time) {
  const int64_t tenths = time.count() / 100;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

Status too_small(size_t bytes, size_t room) {
  return Status(Code::invalid_argument, "a message of " + std::to_string(bytes) +
                                            " bytes for memory of " + std::to_string(room) +
                                            "; receive it into more");
}

}  // namespace

void Messenger::Impl::complete(const StateRef& given, Status status) {
  const StateRef state = given;  // It may be an element of what is erased below.
  std::erase(posted_, state);
  if (state->is_done) return;
  state->status = std::move(status);
  state->is_done = true;
  if (state->callback) {
    Call call;
    call.state = state;
    calls_.push_back(std::move(call));
  }
  news_.notify_all();
}

Result<Transfer> Messenger::Impl::send(PeerId id, uint64_t tag, std::span<const MessagePart> parts,
                                       Callback callback) {
  if (parts.size() > kMessagePartsMax) {
    return Status(Code::invalid_argument, "a message of " + std::to_string(parts.size()) +
                                              " parts; at most " +
                                              std::to_string(kMessagePartsMax));
  }
  auto state = std::make_shared<Transfer::State>();
  state->is_send = true;
  state->peer = id;
  state->tag = tag;
  state->callback = std::move(callback);
  exchange::OutgoingMail mail;
  mail.tag = tag;
  for (const MessagePart& part : parts) {
    mail.parts[mail.part_count++] = {static_cast<const std::byte*>(part.data), part.bytes};
    state->bytes += part.bytes;
  }
  const Lock lock(mutex_);
  Peer* const peer = find(id);
  if (peer == nullptr) return missing(id);
  if (!peer->is_up) return peer->end;
  if (is_closing_) return Status(Code::failed_precondition, "the Messenger is being destroyed");
  state->owner = shared_from_this();
  if (peer->free_cookies.empty()) {
    peer->free_cookies.push_back(static_cast<uint32_t>(peer->sends.size()));
    peer->sends.emplace_back();
  }
  mail.cookie = peer->free_cookies.back();
  peer->free_cookies.pop_back();
  peer->sends[mail.cookie] = state;
  if (!peer->backlog.empty() || !peer->joined->mailbox->send(mail)) peer->backlog.push_back(mail);
  const size_t work = poll_peer(*peer);
  // Whoever sleeps must look after what this poll has left.
  if (work > 0 && (has_calls() || !state->is_done)) wake();
  return Transfer(state);
}

Result<Transfer> Messenger::Impl::receive(PeerId id, uint64_t tag, std::span<std::byte> memory,
                                          bool has_memory, Callback callback) {
  auto state = std::make_shared<Transfer::State>();
  state->peer = id;
  state->tag = tag;
  state->into = memory;
  state->has_memory = has_memory;
  state->callback = std::move(callback);
  const Lock lock(mutex_);
  state->owner = shared_from_this();
  const Peer* const peer = find(id);
  if (id != kAnyPeer && peer == nullptr) return missing(id);
  if (!match_unexpected(state)) {
    if (peer != nullptr && !peer->is_up) return peer->end;
    posted_.push_back(state);
  } else {
    wake();
  }
  return Transfer(state);
}

// A message that has come before, or been announced.
bool Messenger::Impl::match_unexpected(const StateRef& state) {
  const auto found =
      std::find_if(unexpected_.begin(), unexpected_.end(), [&state](const Unexpected& one) {
        return one.arrival->tag == state->tag &&
               (state->peer == kAnyPeer || state->peer == one.peer->id);
      });
  if (found == unexpected_.end()) return false;
  Peer& peer = *found->peer;
  const ArrivalRef arrival = found->arrival;
  unexpected_.erase(found);
  unhold(*arrival);
  arrival->posted = state;
  state->peer = peer.id;
  if (arrival->stage == Arrival::Stage::whole) {
    finish_arrival(*arrival);
  } else {
    grant(peer, *arrival);
    peer.joined->mailbox->pump();
  }
  return true;
}

Messenger::Impl::StateRef Messenger::Impl::take_posted(PeerId peer, uint64_t tag) {
  const auto found = std::find_if(posted_.begin(), posted_.end(), [&](const StateRef& state) {
    return state->tag == tag && (state->peer == peer || state->peer == kAnyPeer);
  });
  if (found == posted_.end()) return nullptr;
  StateRef state = *found;
  posted_.erase(found);
  state->peer = peer;
  return state;
}

void Messenger::Impl::on_event(Peer& peer, const MailEvent& event) {
  switch (event.kind) {
    case MailEventKind::message:
    case MailEventKind::begun:
      return on_mail(peer, event);
    case MailEventKind::received:
      return on_received(peer, event.id, event.ok);
    case MailEventKind::sent: {
      const auto cookie = static_cast<uint32_t>(event.cookie);
      if (!event.ok) return;  // end_peer() ends them all.
      const StateRef state = std::move(peer.sends[cookie]);
      peer.sends[cookie] = nullptr;
      peer.free_cookies.push_back(cookie);
      return complete(state, {});
    }
    case MailEventKind::farewell:
      peer.has_left = true;
      return;
    case MailEventKind::lost:
      return;  // poll_all() sees it.
  }
}

void Messenger::Impl::on_mail(Peer& peer, const MailEvent& event) {
  const auto arrival = std::make_shared<Arrival>();
  arrival->id = event.id;
  arrival->tag = event.tag;
  arrival->part_count = event.part_count;
  for (uint32_t i = 0; i < event.part_count; ++i) {
    arrival->part_bytes[i] = event.parts[i].size();
    arrival->bytes += event.parts[i].size();
  }
  arrival->message.peer = peer.id;
  arrival->message.tag = event.tag;
  arrival->posted = take_posted(peer.id, event.tag);
  const bool is_small = event.kind == MailEventKind::message;
  if (!is_small) peer.incoming[event.id] = arrival;
  if (arrival->posted != nullptr) {
    return is_small ? take_small(*arrival, event) : grant(peer, *arrival);
  }
  if (is_small) {
    take_small(*arrival, event);
    hold(*arrival);
  }
  if (handler_) {
    peer.inbox.push_back(arrival);
    hand_over(peer);
  } else {
    unexpected_.push_back({&peer, arrival});
  }
}

// Memory of the library for the whole message, cut into its parts. Empty: there is none.
std::span<std::byte> Messenger::Impl::make_room(Arrival& arrival) {
  size_t bytes = 0;
  for (uint32_t i = 0; i < arrival.part_count; ++i) {
    bytes = base::align_up(bytes, base::kCacheLineBytes) + arrival.part_bytes[i];
  }
  std::shared_ptr<std::byte> memory = pool_->take(bytes);
  if (memory == nullptr) return {};
  std::byte* at = memory.get();
  for (uint32_t i = 0; i < arrival.part_count; ++i) {
    arrival.message.parts.emplace_back(at, arrival.part_bytes[i]);
    at += base::align_up(arrival.part_bytes[i], base::kCacheLineBytes);
  }
  std::byte* const begin = memory.get();
  arrival.message.memory = std::move(memory);
  return {begin, std::max<size_t>(bytes, 1)};
}

void Messenger::Impl::take_small(Arrival& arrival, const MailEvent& event) {
  const bool is_direct = arrival.posted != nullptr && arrival.posted->has_memory;
  arrival.stage = Arrival::Stage::whole;
  if (is_direct && arrival.bytes > arrival.posted->into.size()) {
    return complete(arrival.posted, too_small(arrival.bytes, arrival.posted->into.size()));
  }
  if (!is_direct && make_room(arrival).empty()) {
    arrival.stage = Arrival::Stage::failed;
    if (arrival.posted == nullptr) return;
    return complete(arrival.posted, Status(Code::resource_exhausted, "no memory for a message"));
  }
  std::byte* into = is_direct ? arrival.posted->into.data() : nullptr;
  for (uint32_t i = 0; i < event.part_count; ++i) {
    std::byte* const to = is_direct ? into : arrival.message.parts[i].data();
    if (!event.parts[i].empty()) std::memcpy(to, event.parts[i].data(), event.parts[i].size());
    if (is_direct) into += event.parts[i].size();
  }
  if (arrival.posted != nullptr) finish_arrival(arrival);
}

// A whole message goes to who has asked for it.
void Messenger::Impl::finish_arrival(Arrival& arrival) {
  const StateRef state = std::move(arrival.posted);
  state->bytes = arrival.bytes;
  if (!state->has_memory) {
    state->message = std::move(arrival.message);
    return complete(state, {});
  }
  if (arrival.message.memory != nullptr) {  // It was here before it was asked for.
    if (arrival.bytes > state->into.size()) {
      return complete(state, too_small(arrival.bytes, state->into.size()));
    }
    std::byte* into = state->into.data();
    for (const std::span<std::byte> part : arrival.message.parts) {
      if (!part.empty()) std::memcpy(into, part.data(), part.size());
      into += part.size();
    }
  }
  complete(state, {});
}

// Lets a large message come: into the memory of who has asked for it, or the library's.
void Messenger::Impl::grant(Peer& peer, Arrival& arrival) {
  exchange::Mailbox& mailbox = *peer.joined->mailbox;
  arrival.stage = Arrival::Stage::granted;
  if (arrival.posted != nullptr && arrival.posted->has_memory) {
    const std::span<std::byte> into = arrival.posted->into;
    if (arrival.bytes > into.size()) {
      complete(arrival.posted, too_small(arrival.bytes, into.size()));
      arrival.posted = nullptr;
      arrival.stage = Arrival::Stage::failed;
      return mailbox.accept(arrival.id, {});
    }
    const std::span<std::byte> to = into.first(arrival.bytes);
    return mailbox.accept(arrival.id, {&to, 1});
  }
  if (make_room(arrival).empty()) {
    if (arrival.posted != nullptr) {
      complete(arrival.posted,
               Status(Code::resource_exhausted,
                      "no memory for a message of " + std::to_string(arrival.bytes) + " bytes"));
    }
    arrival.posted = nullptr;
    arrival.stage = Arrival::Stage::failed;
    return mailbox.accept(arrival.id, {});
  }
  mailbox.accept(arrival.id, arrival.message.parts);
}

void Messenger::Impl::on_received(Peer& peer, uint32_t id, bool ok) {
  const ArrivalRef arrival = std::move(peer.incoming[id]);
  peer.incoming[id] = nullptr;
  if (arrival == nullptr) return;
  if (!ok) {
    const bool was_refused = arrival->stage == Arrival::Stage::failed;
    arrival->stage = Arrival::Stage::failed;
    if (arrival->posted == nullptr || was_refused) return;
    const Status why = peer.end.ok() ? Status(Code::unavailable, peer.text + " is gone") : peer.end;
    complete(arrival->posted, why);
    return;
  }
  if (arrival->stage == Arrival::Stage::failed) return;  // It was dropped.
  arrival->stage = Arrival::Stage::whole;
  if (arrival->posted != nullptr) return finish_arrival(*arrival);
  hand_over(peer);
}

void Messenger::Impl::hold(Arrival& arrival) {
  arrival.is_held = true;
  held_bytes_ += arrival.bytes;
}

void Messenger::Impl::unhold(Arrival& arrival) {
  if (arrival.is_held) held_bytes_ -= arrival.bytes;
  arrival.is_held = false;
}

// Gives the handler what is whole and next; lets the large ones come for which there is room.
void Messenger::Impl::hand_over(Peer& peer) {
  if (!handler_) return;
  for (const ArrivalRef& arrival : peer.inbox) {
    if (arrival->stage != Arrival::Stage::waiting || !peer.is_up) continue;
    if (held_bytes_ > 0 && held_bytes_ + arrival->bytes > options_.unexpected_bytes_max) break;
    hold(*arrival);
    grant(peer, *arrival);
  }
  while (!peer.inbox.empty()) {
    const ArrivalRef arrival = peer.inbox.front();
    const bool is_over = arrival->stage == Arrival::Stage::failed ||
                         (!peer.is_up && arrival->stage != Arrival::Stage::whole);
    if (!is_over && arrival->stage != Arrival::Stage::whole) return;
    peer.inbox.pop_front();
    if (is_over) {
      unhold(*arrival);
      continue;
    }
    Call call;
    call.kind = 1;
    call.message = std::move(arrival->message);
    call.held_bytes = arrival->is_held ? arrival->bytes : 0;
    calls_.push_back(std::move(call));
  }
}

void Messenger::Impl::set_handler(Handler handler) {
  const Lock lock(mutex_);
  handler_ = std::move(handler);
  for (Unexpected& one : unexpected_) one.peer->inbox.push_back(std::move(one.arrival));
  unexpected_.clear();
  for (const auto& peer : peers_) hand_over(*peer);
  wake();
}

void Messenger::Impl::set_peer_handler(PeerHandler handler) {
  const Lock lock(mutex_);
  peer_handler_ = std::move(handler);
}

bool Messenger::Impl::is_done(const Transfer::State& state) const {
  const Lock lock(mutex_);
  return state.is_done;
}

bool Messenger::Impl::cancel(const StateRef& state) {
  const Lock lock(mutex_);
  if (std::find(posted_.begin(), posted_.end(), state) == posted_.end()) return false;
  complete(state, Status(Code::aborted, "the receive was cancelled"));
  wake();
  return true;
}

Status Messenger::Impl::wait(const StateRef& state, std::chrono::milliseconds timeout) {
  const auto limit = std::clamp(timeout, std::chrono::milliseconds(0),
                                std::chrono::milliseconds(std::chrono::hours(24 * 365)));
  Lock lock(mutex_);
  if (news_.wait_for(lock, limit, [&state] { return state->is_done; })) return state->status;
  const Peer* const peer = find(state->peer);
  const std::string who = peer == nullptr ? "any peer" : peer->text;
  return Status(Code::timed_out, (state->is_send ? "send to " : "receive from ") + who + ", tag " +
                                     std::to_string(state->tag) + ": " +
                                     (state->is_send ? "it has not taken the message within "
                                                     : "nothing came within ") +
                                     seconds(limit));
}

}  // namespace phub
