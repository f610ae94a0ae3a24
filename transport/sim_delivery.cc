// The data path of simulated links: copies of puts travel, land, and are checked.
#include <cstring>

#include "base/check.h"
#include "transport/sim_fabric.h"

namespace phub::transport {

void SimFabric::violation(uint32_t index, const std::string& what) {
  core_.violation("node " + std::to_string(static_cast<uint32_t>(node())) + " link " +
                  std::to_string(index) + " at " +
                  duration_text(static_cast<uint64_t>(core_.now().ns)) + ": " + what);
}

std::byte* SimFabric::window(LinkId id, uint32_t slot) {
  const Link& link = links_[index_of(id)];
  const bool has_windows = traits().windows && link.is_acceptor && slot < link.peer_slots.size();
  return has_windows ? link.peer_slots[slot].data : nullptr;
}

size_t SimFabric::put(std::span<const Put> puts) {
  for (size_t i = 0; i < puts.size(); ++i) {
    const Link& link = links_[index_of(puts[i].link)];
    if (is_dead() || link.state == State::lost) continue;  // Taken, and vanishes.
    PHUB_CHECK(link.state == State::up);
    PHUB_CHECK(puts[i].slot < link.options.peer_slot_count);
    if (link.unfinished_count ==
        (link.is_acceptor ? link.options.acceptor_puts_max : link.options.connector_puts_max)) {
      return i;
    }
    start(puts[i]);
  }
  return puts.size();
}

void SimFabric::start(const Put& put) {
  const uint32_t index = index_of(put.link);
  Link& link = links_[index];
  auto flight = std::make_shared<SimFlight>();
  flight->put = put;
  std::byte* const slot_window = window(put.link, put.slot);
  flight->by_window = slot_window != nullptr && put.data == slot_window;
  flight->by_reference = traits().by_reference && !link.is_acceptor;
  flight->sender = id();
  flight->sender_node = node();
  flight->sender_cookie = link.cookie;
  if (put.bytes > 0) {
    const size_t known = flight->by_reference ? link.region_count : memory_->regions.size();
    const bool is_known = memory_->contains(put.data, put.bytes, known) ||
                          (!flight->by_reference && is_registered(put.data, put.bytes));
    if (!flight->by_window && !is_known) {
      violation(index, "put from memory that is not registered, or was not before connect()");
    }
    flight->bytes.assign(put.data, put.data + put.bytes);
  }
  ++link.unfinished_count;
  flight->copies_out = core_.draw_duplicate() ? 2 : 1;
  for (uint32_t i = 0; i < flight->copies_out; ++i) send_copy(link, {flight});
}

void SimFabric::send_copy(const Link& link, const Copy& copy) {
  core_.send_reliably(node(), link.peer_node, link.peer,
                      [index = link.peer_link, cookie = link.peer_cookie, copy](SimEndpoint& to) {
                        auto& peer = static_cast<SimFabric&>(to);
                        Link* const half = peer.find_link(index, cookie);
                        if (half == nullptr) return;
                        if (half->state == State::opening) half->early.push_back(copy);
                        if (half->state == State::up) peer.deliver(index, copy);
                      });
}

void SimFabric::deliver(uint32_t index, const Copy& copy) {
  Link& link = links_[index];
  SimFlight& flight = *copy.flight;
  const Put& put = flight.put;
  const Slot& slot = link.options.slots[put.slot];
  if (put.bytes > slot.bytes) {
    violation(index, "put of " + std::to_string(put.bytes) + " bytes to slot " +
                         std::to_string(put.slot) + " of " + std::to_string(slot.bytes));
    return;
  }
  // Whichever copy comes first is the arrival; the other is a repeat, which writes nothing: its
  // data is the slot, whatever lies there by then.
  const bool is_repeat = flight.was_delivered;
  flight.was_delivered = true;
  const bool is_copied = !flight.by_reference && !flight.by_window;
  ++last_arrival_;
  if (is_copied && !is_repeat) {
    if (put.bytes > 0 && !link.holders[put.slot].empty()) {
      violation(index, "put overwrites slot " + std::to_string(put.slot) +
                           ", whose payload is not released yet");
    }
    if (put.bytes > 0) std::memcpy(slot.data, flight.bytes.data(), put.bytes);
    if (put.bytes > 0) link.holders[put.slot].push_back(last_arrival_);
  }
  const std::byte* const data = flight.by_reference ? put.data : slot.data;
  arrivals_.emplace(last_arrival_, Arrival{{copy.flight, is_repeat}, index, data});
  inbox_.push_back({.kind = EventKind::arrived,
                    .link = LinkId{index},
                    .tag = put.tag,
                    .bytes = put.bytes,
                    .data = data,
                    .cookie = last_arrival_});
  if (is_copied && !is_repeat) finish(link, flight);
}

void SimFabric::finish(Link& link, const SimFlight& flight) {
  core_.send_reliably(node(), link.peer_node, link.peer,
                      [index = link.peer_link, flight = flight](SimEndpoint& to) {
                        auto& sender = static_cast<SimFabric&>(to);
                        Link* const half = sender.find_link(index, flight.sender_cookie);
                        if (half != nullptr && half->state == State::up) {
                          sender.complete(index, flight);
                        }
                      });
}

void SimFabric::complete(uint32_t index, const SimFlight& flight) {
  if (flight.by_window) {
    --links_[index].unfinished_count;
    return;
  }
  const Put& put = flight.put;
  if (put.bytes > 0 && std::memcmp(put.data, flight.bytes.data(), put.bytes) != 0) {
    violation(index, "the bytes of the put to slot " + std::to_string(put.slot) +
                         " changed before it was sent");
  }
  inbox_.push_back({.kind = EventKind::sent, .link = LinkId{index}, .cookie = put.cookie});
}

size_t SimFabric::poll(Instant, std::span<Event> events) {
  if (is_dead()) return 0;
  size_t count = 0;
  for (; count < events.size() && !inbox_.empty(); ++count) {
    events[count] = inbox_.front();
    inbox_.pop_front();
    if (events[count].kind == EventKind::sent) {
      --links_[index_of(events[count].link)].unfinished_count;
    }
  }
  return count;
}

void SimFabric::check_release(const Arrival& arrival) {
  const SimFlight& flight = *arrival.copy.flight;
  if (arrival.copy.is_repeat && !flight.by_reference) return;
  if (!flight.bytes.empty() &&
      std::memcmp(arrival.data, flight.bytes.data(), flight.bytes.size()) != 0) {
    violation(arrival.link, "the payload in slot " + std::to_string(flight.put.slot) +
                                " changed between its arrival and its release");
  }
}

void SimFabric::release(const Event& event) {
  if (orphans_.erase(event.cookie) != 0) return;
  const auto found = arrivals_.find(event.cookie);
  if (found == arrivals_.end()) {
    violation(index_of(event.link), "an arrival was released twice");
    return;
  }
  const Arrival arrival = found->second;
  arrivals_.erase(found);
  check_release(arrival);
  Link& link = links_[arrival.link];
  SimFlight& flight = *arrival.copy.flight;
  std::erase(link.holders[flight.put.slot], event.cookie);
  if (flight.by_reference || flight.by_window) {
    if (--flight.copies_out == 0 && link.state == State::up) finish(link, flight);
  }
}

void SimFabric::lose(uint32_t index, const std::string& reason) {
  Link& link = links_[index];
  if (link.state == State::lost) return;
  const bool is_known = link.state == State::up;
  link.state = State::lost;
  link.lost_reason = reason;
  link.early.clear();
  if (is_known) inbox_.push_back({.kind = EventKind::lost, .link = LinkId{index}});
}

}  // namespace phub::transport
