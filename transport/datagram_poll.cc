// The data path of datagram links: the wire's packets go in, what is due goes out.
#include <algorithm>
#include <array>

#include "base/check.h"
#include "transport/datagram.h"

namespace phub::transport {
namespace {

constexpr size_t kReceiveBatch = 32;
constexpr size_t kReceiveBatchesMax = 8;  // Per poll: acks must not wait for ever.
constexpr uint32_t kResetsPerPoll = 4;
constexpr int64_t kReclaimNs = 50'000;  // Between looks for what is lent, when nothing moves.
// Shorter tails are copied: another segment costs a device more than that.
constexpr size_t kGatherBytesMin = 1'024;
// An arrival's cookie: generation, slot, and the lower bits of its message's number.
constexpr int kGenerationShift = 48;
constexpr int kSlotShift = DatagramReceiver::kMessageBits;
constexpr uint32_t kLowerMask = (1u << kSlotShift) - 1;
constexpr uint32_t kNoSlot = kLowerMask;  // A message without bytes: its slot holds nothing.

uint32_t message_of(uint64_t cookie) { return static_cast<uint32_t>(cookie) & kLowerMask; }
uint32_t slot_of(uint64_t cookie) {
  return static_cast<uint32_t>(cookie >> kSlotShift) & kLowerMask;
}

std::string milliseconds(int64_t ns) { return std::to_string(ns / 1'000'000) + " ms"; }

}  // namespace

size_t DatagramFabric::put(std::span<const Put> puts) {
  size_t taken = 0;
  for (; taken < puts.size(); ++taken) {
    Link& link = links_[index_of(puts[taken].link)];
    if (link.state == State::lost) continue;  // Taken, and vanishes.
    PHUB_CHECK(link.state == State::up);
    PHUB_CHECK(puts[taken].slot < link.options.peer_slot_count);
    PHUB_CHECK(puts[taken].bytes <= link.peer.slot_bytes[puts[taken].slot]);
    if (!link.sender->can_take()) break;
    link.sender->take(puts[taken]);
    // Puts to one link share packets, so nothing leaves before the last of a run.
    if (taken + 1 == puts.size() || puts[taken + 1].link != puts[taken].link) pump(link);
  }
  if (taken > 0 && taken < puts.size()) {
    Link& link = links_[index_of(puts[taken - 1].link)];
    if (link.state == State::up) pump(link);
  }
  if (taken == 0) return 0;
  wire_->flush();
  timers_at_ = Instant{INT64_MIN};  // The next poll gives the time to what was sent.
  return taken;
}

size_t DatagramFabric::poll(Instant now, std::span<Event> events) {
  now_ = now;
  is_wire_full_ = false;
  for (Link& link : links_) {
    if (link.state == State::up) stamp(link);
  }
  receive();
  reclaim();
  if (now >= timers_at_) run_timers();
  for (Link& link : links_) {
    if (link.state != State::up) continue;
    pump(link);
    if (link.receiver->is_ack_due()) send_packet(link, PacketKind::ack, false);
    stamp(link);
    timers_at_ = std::min(timers_at_, deadline_of(link));
  }
  wire_->flush();
  size_t count = 0;
  for (; count < events.size() && !events_.empty(); ++count) {
    events[count] = events_.pop();
    const Link& link = links_[index_of(events[count].link)];
    if (events[count].kind == EventKind::sent) link.sender->on_sent_polled();
    if (events[count].kind == EventKind::arrived) {
      link.receiver->on_polled(message_of(events[count].cookie));
    }
  }
  return count;
}

void DatagramFabric::release(const Event& event) {
  Link& link = links_[index_of(event.link)];
  if (link.state != State::up && link.state != State::lost) return;
  if (event.cookie >> kGenerationShift != link.generation) return;  // Of a former link.
  if (slot_of(event.cookie) == kNoSlot) return;
  const bool was_arrived = link.receiver->release(slot_of(event.cookie), message_of(event.cookie));
  PHUB_CHECK(was_arrived);
}

// Puts whose bytes the wire has let go of are sent.
void DatagramFabric::reclaim() {
  bool is_asked = false;
  for (uint32_t i = 0; i < links_.size(); ++i) {
    Link& link = links_[i];
    if (link.state != State::up || !link.sender->is_waiting_for_loans()) continue;
    if (!is_asked) wire_->reclaim();
    is_asked = true;
    link.sender->on_reclaimed([&](uint64_t cookie) {
      events_.push({.kind = EventKind::sent, .link = LinkId{i}, .cookie = cookie});
    });
  }
}

void DatagramFabric::receive() {
  resets_left_ = kResetsPerPoll;
  std::array<WirePacket, kReceiveBatch> packets;
  for (size_t batch = 0; batch < kReceiveBatchesMax; ++batch) {
    const size_t count = wire_->receive(packets);
    for (size_t i = 0; i < count; ++i) on_packet(packets[i]);
    if (count < packets.size()) break;
  }
}

void DatagramFabric::on_packet(const WirePacket& from_wire) {
  ++counters_.packets_received;
  const std::optional<Packet> packet = parse_packet(from_wire.bytes);
  if (!packet) {
    ++counters_.packets_malformed;
    return;
  }
  const PacketHeader& header = packet->header;
  if (header.kind == PacketKind::reset) return on_reset(*packet, from_wire.from);
  const bool is_known = header.link < links_.size() && links_[header.link].state != State::closed &&
                        links_[header.link].cookie == header.cookie;
  if (!is_known || links_[header.link].state == State::lost) {
    ++counters_.packets_stale;
    if (header.kind != PacketKind::data || resets_left_ == 0) return;
    --resets_left_;
    send_bare(from_wire.from, PacketKind::reset, header.link, header.cookie);
    return;
  }
  Link& link = links_[header.link];
  if (link.state == State::opening) {
    // Nobody but the one who got the offer knows the cookie. His data must wait for his answer.
    if (header.kind == PacketKind::close) lose(header.link, "the peer closed the link");
    return;
  }
  if (link.peer.address != from_wire.from) {
    ++counters_.packets_stale;
    return;
  }
  link.is_heard = true;
  link.last_heard = now_;
  if (from_wire.is_marked && header.kind == PacketKind::data) link.receiver->on_marked();
  on_known(header.link, *packet);
}

// The peer does not know the link that this packet of ours named.
void DatagramFabric::on_reset(const Packet& packet, const WireAddress& from) {
  for (uint32_t i = 0; i < links_.size(); ++i) {
    const Link& link = links_[i];
    if (link.state == State::up && link.peer.link == packet.header.link &&
        link.peer.cookie == packet.header.cookie && link.peer.address == from) {
      return lose(i, "the peer does not know this link any more");
    }
  }
  ++counters_.packets_stale;
}

void DatagramFabric::on_known(uint32_t index, const Packet& packet) {
  Link& link = links_[index];
  if (packet.header.kind == PacketKind::close) return lose(index, "the peer closed the link");
  if (packet.header.has_ack) {
    const bool is_possible = link.sender->on_ack(packet.ack, now_, [&](uint64_t cookie) {
      events_.push({.kind = EventKind::sent, .link = LinkId{index}, .cookie = cookie});
    });
    if (!is_possible) {
      ++counters_.packets_malformed;
      return;
    }
  }
  if (packet.header.kind == PacketKind::data) on_data(index, packet);
}

void DatagramFabric::on_data(uint32_t index, const Packet& packet) {
  Link& link = links_[index];
  const auto arrived = [&](const DatagramReceiver::Arrived& arrival) {
    events_.push({.kind = EventKind::arrived,
                  .link = LinkId{index},
                  .tag = arrival.tag,
                  .bytes = arrival.bytes,
                  .data = arrival.data,
                  .cookie = uint64_t{link.generation} << kGenerationShift |
                            uint64_t{arrival.bytes == 0 ? kNoSlot : arrival.slot} << kSlotShift |
                            (arrival.message & kLowerMask)});
  };
  switch (link.receiver->on_data(packet.header.number, packet.fragments, arrived)) {
    case DatagramReceiver::Verdict::taken:
      break;
    case DatagramReceiver::Verdict::duplicate:
      ++counters_.packets_duplicate;
      break;
    case DatagramReceiver::Verdict::waiting:
      ++counters_.packets_waiting;
      break;
    case DatagramReceiver::Verdict::malformed:
      ++counters_.packets_malformed;
      break;
  }
}

// Sends what the link wants and may send; acks ride along.
void DatagramFabric::pump(Link& link) {
  while (link.sender->wants_to_send() && send_packet(link, PacketKind::data, false)) {
  }
}

// False: the wire is full.
bool DatagramFabric::send_packet(Link& link, PacketKind kind, bool is_probe) {
  const std::span<std::byte> room = wire_->reserve();
  if (room.empty()) {
    is_wire_full_ = true;
    ++counters_.packets_no_buffer;
    return false;
  }
  const bool has_ack = link.receiver->is_ack_due();
  // Fragments first, behind the room for what stands before them: they decide the packet's number.
  const size_t front = kHeaderBytes + (has_ack ? kAckBytes : 0);
  const size_t mtu = std::min<size_t>(room.size(), link.peer.mtu);
  base::ByteWriter body(room.subspan(front, mtu - kHeaderBytes - kAckBytes));
  uint64_t number = 0;
  DatagramSender::Tail tail;
  if (kind == PacketKind::data) {
    number = is_probe ? link.sender->probe() : link.sender->write_next(body, &tail);
    if (!is_worth_gathering(tail)) {
      body.raw(tail.bytes);
      tail = {};
    }
    PHUB_DCHECK(body.ok());
  }
  base::ByteWriter writer(room.first(front));
  const Ack ack = has_ack ? link.receiver->ack() : Ack();
  encode(PacketHeader{kind, has_ack, link.peer.link, link.peer.cookie, number}, writer,
         ack.is_marked);
  if (has_ack) {
    encode(ack, writer);
    link.receiver->on_ack_sent();
  }
  ++counters_.packets_sent;
  if (tail.loan == nullptr) {
    wire_->send(link.peer.address, front + body.size());
  } else {
    wire_->send_gathered(link.peer.address, front + body.size(), tail.bytes, *tail.loan);
    ++counters_.packets_gathered;
  }
  return true;
}

bool DatagramFabric::is_worth_gathering(const DatagramSender::Tail& tail) const {
  return tail.bytes.size() >= kGatherBytesMin && wire_->can_gather(tail.bytes);
}

void DatagramFabric::send_bare(const WireAddress& to, PacketKind kind, uint32_t link,
                               uint64_t cookie) {
  const std::span<std::byte> room = wire_->reserve();
  if (room.empty()) return;  // As good as lost on the way.
  base::ByteWriter writer(room);
  encode(PacketHeader{kind, false, link, cookie, 0}, writer);
  wire_->send(to, writer.size());
  ++counters_.packets_sent;
}

void DatagramFabric::stamp(Link& link) {
  if (!link.is_stamped) link.last_heard = now_;
  link.is_stamped = true;
  link.sender->stamp(now_);
  const bool is_waiting = !link.sender->is_idle();
  if (is_waiting && !link.is_waiting) link.waiting_since = now_;
  link.is_waiting = is_waiting;
}

void DatagramFabric::run_timers() {
  timers_at_ = Instant{INT64_MAX};
  for (uint32_t i = 0; i < links_.size(); ++i) {
    if (links_[i].state == State::up) check_timers(i);
  }
  show_counters();
}

void DatagramFabric::check_timers(uint32_t index) {
  Link& link = links_[index];
  DatagramSender& sender = *link.sender;
  if (now_ < deadline_of(link)) return;
  if (sender.is_idle()) {
    send_packet(link, PacketKind::data, true);
    return;
  }
  sender.expire(now_);
  const int64_t silent_ns = (now_ - std::max(link.last_heard, link.waiting_since)).count();
  if (silent_ns < options_.link_timeout_ns) return;
  lose(index, "no answer for " + milliseconds(silent_ns) + " to " +
                  std::to_string(sender.timer().timeouts_in_a_row() + 1) +
                  " attempts; the peer is gone, or packets of " + std::to_string(link.peer.mtu) +
                  " bytes do not get through (then choose a smaller MTU)");
}

Instant DatagramFabric::deadline_of(const Link& link) const {
  const DatagramSender& sender = *link.sender;
  const auto after = [](Instant start, int64_t ns) { return start + std::chrono::nanoseconds(ns); };
  if (!sender.is_idle()) {
    return std::min(sender.deadline(),
                    after(std::max(link.last_heard, link.waiting_since), options_.link_timeout_ns));
  }
  // Blocked: the receiver's word that there is room may have been lost. Ask.
  if (sender.is_blocked()) return after(link.last_heard, sender.timer().timeout_ns());
  return link.is_heard ? after(link.last_heard, options_.keepalive_ns) : Instant{INT64_MAX};
}

bool DatagramFabric::arm() {
  show_counters();
  if (!events_.empty()) return false;
  for (const Link& link : links_) {  // A release made room that the peer should hear of.
    if (link.state == State::up && link.receiver->is_ack_due()) return false;
  }
  return wire_->arm();
}

Instant DatagramFabric::next_deadline() const {
  if (is_wire_full_) return now_;
  const bool is_held = std::any_of(links_.begin(), links_.end(), [](const Link& link) {
    return link.state == State::up && link.sender->is_waiting_for_loans();
  });
  const Instant due = std::max(now_, timers_at_);
  return is_held ? std::min(due, now_ + std::chrono::nanoseconds(kReclaimNs)) : due;
}

void DatagramFabric::lose(uint32_t index, std::string reason) {
  Link& link = links_[index];
  const bool is_known = link.state == State::up;
  link.state = State::lost;
  link.lost_reason = std::move(reason);
  if (is_known) events_.push({.kind = EventKind::lost, .link = LinkId{index}});
}

}  // namespace phub::transport
