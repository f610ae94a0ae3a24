#include "transport/datagram_sender.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace phub::transport {
namespace {
constexpr double kWindowStart = 16;  // 24 KB at an MTU of 1500: less than any receive ring.
}

DatagramSender::DatagramSender(uint32_t puts_max, size_t body_bytes, const RetransmitTimer& timer)
    : puts_max_(puts_max),
      // Twice, so that one put that is slow to be acknowledged does not stop the others at once.
      messages_(std::bit_ceil(2 * std::max<size_t>(puts_max, 1))),
      // The receiver has room for as many as it promised at set-up; see DatagramReceiver.
      limit_(puts_max),
      packets_(kWindowPackets),
      timer_(timer),
      window_(kWindowStart, kWindowPackets) {
  PHUB_CHECK(body_bytes > kFragmentBytes);
}

void DatagramSender::append(List& list, uint32_t index) {
  packets_[index].previous = list.last;
  packets_[index].next = kNone;
  (list.last == kNone ? list.first : packets_[list.last].next) = index;
  list.last = index;
  ++list.count;
}

void DatagramSender::remove(List& list, uint32_t index) {
  const Flying& flying = packets_[index];
  (flying.previous == kNone ? list.first : packets_[flying.previous].next) = flying.next;
  (flying.next == kNone ? list.last : packets_[flying.next].previous) = flying.previous;
  --list.count;
}

bool DatagramSender::can_take() const {
  return unfinished_count_ < puts_max_ && next_message_ - first_unfinished_ < messages_.size();
}

void DatagramSender::take(const Put& put) {
  message(next_message_++) = {.put = put};
  ++unfinished_count_;
}

bool DatagramSender::wants_to_send() const {
  if (flying_.count >= window_.packets()) return false;
  if (to_repeat_.count > 0) return true;
  return pack_message_ < next_message_ && pack_message_ < limit_ &&
         next_number_ - base_ < kWindowPackets;
}

void DatagramSender::launch(uint64_t number) {
  Flying& flying = packet(number);
  flying.is_stamped = false;
  flying.is_in_flight = true;
  flying.order = next_order_++;
  ++flying.send_count;
  append(flying_, static_cast<uint32_t>(number % kWindowPackets));
}

uint64_t DatagramSender::write_next(base::ByteWriter& to, Tail* tail) {
  *tail = {};
  if (to_repeat_.count > 0) {
    const uint32_t index = to_repeat_.first;
    remove(to_repeat_, index);
    // The number is the only one of the window in this place.
    const uint64_t number = base_ + (index - base_ % kWindowPackets) % kWindowPackets;
    repeat(packets_[index], Body(to, *tail));
    launch(number);
    ++repeat_count_;
    return number;
  }
  const uint64_t number = next_number_++;
  packet(number) = Flying();
  pack(packet(number), Body(to, *tail));
  launch(number);
  return number;
}

uint64_t DatagramSender::probe() {
  PHUB_DCHECK(can_probe());
  const uint64_t number = next_number_++;
  packet(number) = Flying();
  launch(number);
  return number;
}

// Fills one packet with the pieces that are next in line.
void DatagramSender::pack(Flying& flying, Body body) {
  flying.first_message = pack_message_;
  flying.first_offset = pack_offset_;
  // A slot takes one put at a time, and a packet is taken as a whole: two puts to one slot must not
  // share a packet. One bit per slot modulo 64 is close enough; a false hit ends the packet early.
  uint64_t slots_seen = 0;
  while (pack_message_ < next_message_ && pack_message_ < limit_) {
    Message& next = message(pack_message_);
    const uint32_t left = next.put.bytes - pack_offset_;
    const size_t room = body.room();
    if (room < kFragmentBytes + (left > 0 ? 1 : 0)) break;
    const uint64_t slot_bit = left > 0 ? uint64_t{1} << next.put.slot % 64 : 0;
    if ((slots_seen & slot_bit) != 0) break;
    slots_seen |= slot_bit;
    const auto length = static_cast<uint32_t>(std::min<size_t>(left, room - kFragmentBytes));
    body.add(Fragment{pack_message_,
                      next.put.slot,
                      next.put.tag,
                      next.put.bytes,
                      pack_offset_,
                      {next.put.data + pack_offset_, length}},
             next.loan);
    ++next.packets_out;
    pack_offset_ += length;
    flying.last_end = pack_offset_;
    flying.end_message = pack_message_ + 1;
    if (pack_offset_ < next.put.bytes) break;
    next.is_packed = true;
    ++pack_message_;
    pack_offset_ = 0;
  }
}

void DatagramSender::repeat(const Flying& flying, Body body) {
  for (uint64_t id = flying.first_message; id < flying.end_message; ++id) {
    Message& part = message(id);
    const Put& put = part.put;
    const uint32_t begin = id == flying.first_message ? flying.first_offset : 0;
    const uint32_t end = id + 1 == flying.end_message ? flying.last_end : put.bytes;
    body.add(Fragment{id, put.slot, put.tag, put.bytes, begin, {put.data + begin, end - begin}},
             part.loan);
  }
}

bool DatagramSender::is_lending() const {
  return std::any_of(messages_.begin(), messages_.end(),
                     [](const Message& part) { return part.loan.count > 0; });
}

void DatagramSender::forget_finished() {
  while (first_unfinished_ < next_message_ && message(first_unfinished_).is_finished) {
    ++first_unfinished_;
  }
}

// Notes that a packet has come; false if that was known. Its messages are the caller's business.
bool DatagramSender::acknowledge(uint64_t number, Instant now) {
  Flying& flying = packet(number);
  if (flying.is_acked) return false;
  flying.is_acked = true;
  remove(flying.is_in_flight ? flying_ : to_repeat_,
         static_cast<uint32_t>(number % kWindowPackets));
  // Of a packet sent twice nobody knows which copy was acknowledged.
  if (flying.send_count == 1 && flying.is_stamped) {
    timer_.on_round_trip((now - flying.sent_at).count());
  }
  // The ack of a repeated packet may be the first copy's: it says nothing of what overtook what.
  if (flying.send_count == 1) newest_acked_order_ = std::max(newest_acked_order_, flying.order);
  return true;
}

void DatagramSender::lose(uint32_t index) {
  Flying& flying = packets_[index];
  remove(flying_, index);
  flying.is_in_flight = false;
  append(to_repeat_, index);
  window_.on_lost(flying.order, next_order_);
}

void DatagramSender::lose_overtaken() {
  while (flying_.count > 0 && packets_[flying_.first].order + kReorderMax < newest_acked_order_) {
    lose(flying_.first);
  }
}

void DatagramSender::stamp(Instant now) {
  for (uint32_t i = flying_.last; i != kNone && !packets_[i].is_stamped; i = packets_[i].previous) {
    packets_[i].sent_at = now;
    packets_[i].is_stamped = true;
  }
}

void DatagramSender::expire(Instant now) {
  const int64_t timeout_ns = timer_.timeout_ns();
  bool is_expired = false;
  while (flying_.count > 0) {
    const Flying& first = packets_[flying_.first];
    if (!first.is_stamped || (now - first.sent_at).count() < timeout_ns) break;
    lose(flying_.first);
    is_expired = true;
  }
  if (is_expired) timer_.on_timeout();
}

Instant DatagramSender::deadline() const {
  if (flying_.count == 0) return {INT64_MAX};
  const Flying& first = packets_[flying_.first];
  // Not stamped: the next poll is due at once.
  return first.is_stamped ? first.sent_at + std::chrono::nanoseconds(timer_.timeout_ns())
                          : Instant{INT64_MIN};
}

}  // namespace phub::transport
