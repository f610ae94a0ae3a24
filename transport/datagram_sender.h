// The sending half of a link: puts become messages, messages become packets, packets are repeated
// until they are acknowledged.
//
// A state machine: no wire, no clock. Packets in flight stand in one intrusive list in the order of
// their sending, and all wait equally long, so the first to expire is always at the front:
// starting, stopping and checking timers is O(1). A packet counts as lost when it expires, or when
// one sent kReorderMax later has been acknowledged.
//
// The last fragment's bytes may stay where they are (a Wire that gathers): then they are lent, and
// a put is finished when its packets are acknowledged and its loans have ended, whichever is later.
//
// Puts have no time of day (Fabric::put has no `now`): what they send is stamped by the next poll.
#pragma once

#include <bit>
#include <vector>

#include "base/clock.h"
#include "transport/datagram_pace.h"
#include "transport/datagram_packet.h"
#include "transport/fabric.h"
#include "transport/wire.h"

namespace phub::transport {

class DatagramSender {
 public:
  static constexpr uint64_t kReorderMax = 10;

  // body_bytes: room for fragments in a packet. puts_max: the most unfinished puts.
  DatagramSender(uint32_t puts_max, size_t body_bytes, const RetransmitTimer& timer);

  bool can_take() const;
  void take(const Put& put);  // REQUIRES: can_take().
  void on_sent_polled() { --unfinished_count_; }

  // What write_next leaves to its caller: the packet's last bytes, not written yet.
  struct Tail {
    std::span<const std::byte> bytes;
    WireLoan* loan = nullptr;  // Of their put. Null if there are no bytes.
  };
  // Anything to send now? Then write_next writes header-less fragments of one packet, new or
  // repeated, except for the tail, and returns the packet's number.
  bool wants_to_send() const;
  uint64_t write_next(base::ByteWriter& to, Tail* tail);
  // An empty packet, to be acknowledged like any other. REQUIRES: can_probe().
  bool can_probe() const { return next_number_ - base_ < kWindowPackets; }
  uint64_t probe();

  // Calls finished(cookie) for each put that is now wholly acknowledged. False: the ack is
  // impossible, and nothing was done.
  template <typename Finished>
  bool on_ack(const Ack& ack, Instant now, Finished finished);
  // The same for puts that waited only for their loans to end.
  template <typename Finished>
  void on_reclaimed(Finished finished);
  bool is_waiting_for_loans() const { return held_count_ > 0; }
  bool is_lending() const;
  void stamp(Instant now);  // Gives the time to what was sent since the last call.
  // Takes expired packets out of flight, to be sent again.
  void expire(Instant now);

  // When expire() has something to do; max() when nothing is in flight.
  Instant deadline() const;
  bool is_idle() const { return base_ == next_number_; }  // Nothing unacknowledged.
  // Something waits, but the receiver has not yet made room for it.
  bool is_blocked() const { return pack_message_ < next_message_ && pack_message_ >= limit_; }
  const RetransmitTimer& timer() const { return timer_; }
  RetransmitTimer& timer() { return timer_; }
  uint64_t repeat_count() const { return repeat_count_; }
  uint32_t window_packets() const { return window_.packets(); }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Message {
    Put put;
    uint32_t packets_out = 0;  // Unacknowledged packets with a piece of it.
    bool is_packed = false;    // All of it is in packets.
    bool is_held = false;      // Acknowledged, but still lent.
    bool is_finished = false;
    WireLoan loan = {};
  };
  // Fragments of one packet: the last one's bytes are not written before there is another.
  class Body {
   public:
    Body(base::ByteWriter& to, Tail& tail) : to_(to), tail_(tail) {}
    size_t room() const { return to_.room() - tail_.bytes.size(); }
    void add(const Fragment& fragment, WireLoan& loan) {
      to_.raw(tail_.bytes);
      encode_head(fragment, to_);
      tail_ = {fragment.bytes, fragment.bytes.empty() ? nullptr : &loan};
    }

   private:
    base::ByteWriter& to_;
    Tail& tail_;
  };
  struct Flying {
    uint64_t first_message = 0;  // Pieces of messages [first_message, end_message), from
    uint64_t end_message = 0;    // first_offset of the first to last_end of the last.
    uint32_t first_offset = 0;
    uint32_t last_end = 0;
    bool is_acked = false;
    bool is_stamped = false;
    bool is_in_flight = false;  // In the list of flying packets; otherwise to be repeated.
    uint32_t send_count = 0;
    uint64_t order = 0;
    Instant sent_at{0};
    uint32_t previous = kNone;
    uint32_t next = kNone;
  };
  struct List {
    uint32_t first = kNone;
    uint32_t last = kNone;
    uint32_t count = 0;
  };

  Message& message(uint64_t id) { return messages_[id & (messages_.size() - 1)]; }
  Flying& packet(uint64_t number) { return packets_[number % kWindowPackets]; }
  void append(List& list, uint32_t index);
  void remove(List& list, uint32_t index);
  void launch(uint64_t number);
  void pack(Flying& flying, Body body);
  void repeat(const Flying& flying, Body body);
  void lose(uint32_t index);
  bool acknowledge(uint64_t number, Instant now);
  void lose_overtaken();
  void forget_finished();

  uint32_t puts_max_;
  uint32_t unfinished_count_ = 0;
  uint32_t held_count_ = 0;
  std::vector<Message> messages_;
  uint64_t first_unfinished_ = 0;
  uint64_t next_message_ = 0;
  uint64_t pack_message_ = 0;  // Where packing goes on.
  uint32_t pack_offset_ = 0;
  uint64_t limit_ = 0;  // Messages from here on have no room at the receiver yet.

  std::vector<Flying> packets_;
  uint64_t base_ = 0;  // The first unacknowledged packet.
  uint64_t next_number_ = 0;
  uint64_t next_order_ = 0;
  uint64_t newest_acked_order_ = 0;
  List flying_;  // By order of sending.
  List to_repeat_;
  RetransmitTimer timer_;
  CongestionWindow window_;
  uint64_t repeat_count_ = 0;
};

template <typename Finished>
bool DatagramSender::on_ack(const Ack& ack, Instant now, Finished finished) {
  if (ack.next > next_number_) return false;
  uint32_t acked_count = 0;
  const uint32_t in_flight = flying_.count;
  const auto take_packet = [&](uint64_t number) {
    if (!acknowledge(number, now)) return;
    ++acked_count;
    const Flying& flying = packet(number);
    for (uint64_t id = flying.first_message; id < flying.end_message; ++id) {
      Message& part = message(id);
      if (--part.packets_out > 0 || !part.is_packed) continue;
      part.is_held = part.loan.count > 0;
      part.is_finished = !part.is_held;
      held_count_ += part.is_held ? 1 : 0;
      if (part.is_finished) finished(part.put.cookie);
    }
  };
  for (uint64_t number = base_; number < ack.next; ++number) take_packet(number);
  for (uint64_t i = 0; i < ack.received.size(); ++i) {
    for (uint64_t bits = ack.received[i]; bits != 0; bits &= bits - 1) {
      const uint64_t number = ack.next + i * 64 + static_cast<uint64_t>(std::countr_zero(bits));
      if (number >= base_ && number < next_number_) take_packet(number);
    }
  }
  while (base_ < next_number_ && packet(base_).is_acked) ++base_;
  forget_finished();
  if (ack.message_limit > limit_) limit_ = ack.message_limit;
  if (acked_count > 0) {
    timer_.on_progress();
    window_.on_acked(acked_count, in_flight);
    lose_overtaken();
  }
  if (ack.is_marked) window_.on_marked(newest_acked_order_, next_order_);
  return true;
}

template <typename Finished>
void DatagramSender::on_reclaimed(Finished finished) {
  for (uint64_t id = first_unfinished_; id < next_message_ && held_count_ > 0; ++id) {
    Message& part = message(id);
    if (!part.is_held || part.loan.count > 0) continue;
    part.is_held = false;
    part.is_finished = true;
    --held_count_;
    finished(part.put.cookie);
  }
  forget_finished();
}

}  // namespace phub::transport
