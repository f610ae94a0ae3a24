// The receiving half of a link: packets are taken once each, their pieces land in the slots, whole
// messages become arrivals, and acks say what has come and how much more there is room for.
//
// A state machine: no wire, no time. The peer is not trusted: a packet is checked as a whole before
// any of its bytes is written.
//
// Why a payload cannot be torn: each packet number is taken once, so each byte of a put is written
// once, before its arrival is reported; and a slot belongs to one message from its first byte until
// its release. Packets for a slot that is still in use are left unacknowledged, to come again.
#pragma once

#include <vector>

#include "transport/datagram_packet.h"
#include "transport/fabric.h"

namespace phub::transport {

class DatagramReceiver {
 public:
  // puts_max: the most puts that the peer may have unfinished.
  DatagramReceiver(uint32_t puts_max, std::vector<Slot> slots);

  // The most messages that may have come and not been polled. A power of two.
  static size_t room_for(uint32_t puts_max);

  // Of a message's number tell it from every other that is unpolled or unreleased.
  static constexpr int kMessageBits = 24;

  enum class Verdict : uint8_t {
    taken,
    duplicate,  // Known; acknowledge again.
    waiting,    // Cannot be taken yet: beyond the window, or its slot is in use.
    malformed,  // No correct peer sends this.
  };
  struct Arrived {
    uint64_t message = 0;  // on_polled() and release() take its lower kMessageBits.
    uint32_t slot = 0;
    uint32_t tag = 0;
    uint32_t bytes = 0;
    const std::byte* data = nullptr;
  };
  // Calls arrived(Arrived) for each message that the packet completes.
  template <typename OnArrived>
  Verdict on_data(uint64_t number, std::span<const std::byte> fragments, OnArrived arrived);
  // The owner has been told of the arrival. Its message makes room for another; its payload stays,
  // for as long as he likes, and holds up nothing but its own slot.
  void on_polled(uint32_t message);
  // False: not an unreleased arrival. REQUIRES: of a message with bytes; others keep nothing.
  bool release(uint32_t slot, uint32_t message);

  Ack ack() const;
  bool is_ack_due() const { return is_ack_due_; }
  void on_ack_sent();
  void on_marked() { is_marked_ = true; }  // The network was congested: the next ack says it.

 private:
  enum class State : uint8_t { free, partial, arrived, polled };
  struct Message {
    uint32_t slot = 0;
    uint32_t tag = 0;
    uint32_t total = 0;
    uint32_t received = 0;
    State state = State::free;
  };
  static constexpr uint64_t kNobody = UINT64_MAX;

  Message& message(uint64_t id) { return messages_[id & (messages_.size() - 1)]; }
  uint64_t limit() const { return first_unpolled_ + messages_.size(); }
  Verdict check(std::span<const std::byte> fragments);
  Verdict check_fragment(const Fragment& fragment);
  void unclaim(std::span<const std::byte> fragments, size_t count);
  bool place(const Fragment& fragment);  // True: the message is whole now.
  bool has_come(uint64_t number) const;
  void note(uint64_t number);

  std::vector<Slot> slots_;
  std::vector<uint64_t> owners_;  // Per slot: the message whose bytes it holds.
  std::vector<Message> messages_;
  uint64_t first_unpolled_ = 0;
  uint64_t next_number_ = 0;                          // All packets below have come.
  std::array<uint64_t, kWindowPackets / 64> come_{};  // Of number modulo kWindowPackets.
  uint64_t announced_limit_ = 0;
  bool is_ack_due_ = false;
  bool is_marked_ = false;
};

template <typename OnArrived>
DatagramReceiver::Verdict DatagramReceiver::on_data(uint64_t number,
                                                    std::span<const std::byte> fragments,
                                                    OnArrived arrived) {
  is_ack_due_ = true;
  if (number < next_number_ || has_come(number)) return Verdict::duplicate;
  if (number - next_number_ >= kWindowPackets) return Verdict::waiting;
  const Verdict verdict = check(fragments);
  if (verdict != Verdict::taken) return verdict;
  while (const std::optional<Fragment> fragment = next_fragment(fragments)) {
    if (!place(*fragment)) continue;
    arrived(Arrived{fragment->message, fragment->slot, fragment->tag, fragment->total,
                    slots_[fragment->slot].data});
  }
  note(number);
  return Verdict::taken;
}

}  // namespace phub::transport
