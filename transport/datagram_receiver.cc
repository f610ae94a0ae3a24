#include "transport/datagram_receiver.h"

#include <bit>
#include <cstring>

#include "base/check.h"

namespace phub::transport {
namespace {
constexpr uint64_t kMessageMask = (uint64_t{1} << DatagramReceiver::kMessageBits) - 1;
}  // namespace

DatagramReceiver::DatagramReceiver(uint32_t puts_max, std::vector<Slot> slots)
    : slots_(std::move(slots)), owners_(slots_.size(), kNobody), messages_(room_for(puts_max)) {
  announced_limit_ = limit();
}

size_t DatagramReceiver::room_for(uint32_t puts_max) {
  return std::bit_ceil(2 * std::max<size_t>(puts_max, 1));
}

bool DatagramReceiver::has_come(uint64_t number) const {
  if (number - next_number_ >= kWindowPackets) return false;
  const uint64_t bit = number % kWindowPackets;
  return (come_[bit / 64] >> bit % 64 & 1) != 0;
}

void DatagramReceiver::note(uint64_t number) {
  const auto flip = [this](uint64_t n) { come_[n % kWindowPackets / 64] ^= uint64_t{1} << n % 64; };
  flip(number);
  while (has_come(next_number_)) {
    flip(next_number_);  // The place is free for next_number_ + kWindowPackets.
    ++next_number_;
  }
}

DatagramReceiver::Verdict DatagramReceiver::check_fragment(const Fragment& fragment) {
  if (fragment.slot >= slots_.size() || fragment.total > slots_[fragment.slot].bytes) {
    return Verdict::malformed;
  }
  // A new packet never carries bytes of a message that is whole already.
  if (fragment.message < first_unpolled_) return Verdict::malformed;
  if (fragment.message >= limit()) return Verdict::waiting;
  const Message& known = message(fragment.message);
  if (known.state == State::arrived || known.state == State::polled) return Verdict::malformed;
  if (known.state == State::partial &&
      (known.slot != fragment.slot || known.tag != fragment.tag || known.total != fragment.total ||
       fragment.bytes.size() > known.total - known.received)) {
    return Verdict::malformed;
  }
  if (fragment.total == 0) return Verdict::taken;  // Nothing is written.
  uint64_t& owner = owners_[fragment.slot];
  if (owner != kNobody && owner != fragment.message) return Verdict::waiting;
  owner = fragment.message;
  return Verdict::taken;
}

// Checks all fragments and claims their slots; on failure the new claims are given back.
DatagramReceiver::Verdict DatagramReceiver::check(std::span<const std::byte> fragments) {
  std::span<const std::byte> rest = fragments;
  size_t count = 0;
  while (const std::optional<Fragment> fragment = next_fragment(rest)) {
    const Verdict verdict = check_fragment(*fragment);
    if (verdict != Verdict::taken) {
      unclaim(fragments, count);
      return verdict;
    }
    ++count;
  }
  return Verdict::taken;
}

void DatagramReceiver::unclaim(std::span<const std::byte> fragments, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const std::optional<Fragment> fragment = next_fragment(fragments);
    if (message(fragment->message).state == State::free &&
        owners_[fragment->slot] == fragment->message) {
      owners_[fragment->slot] = kNobody;
    }
  }
}

bool DatagramReceiver::place(const Fragment& fragment) {
  Message& target = message(fragment.message);
  if (target.state == State::free) {
    target = {fragment.slot, fragment.tag, fragment.total, 0, State::partial};
  }
  if (!fragment.bytes.empty()) {
    std::memcpy(slots_[fragment.slot].data + fragment.offset, fragment.bytes.data(),
                fragment.bytes.size());
  }
  target.received += static_cast<uint32_t>(fragment.bytes.size());
  if (target.received < target.total) return false;
  target.state = State::arrived;
  return true;
}

void DatagramReceiver::on_polled(uint32_t number) {
  const uint64_t id = first_unpolled_ + ((number - first_unpolled_) & kMessageMask);
  PHUB_DCHECK(id >= first_unpolled_ && id < limit() && message(id).state == State::arrived);
  message(id).state = State::polled;
  while (message(first_unpolled_).state == State::polled) {
    message(first_unpolled_).state = State::free;
    ++first_unpolled_;
  }
  // Half the room was used since the peer last heard of it: say so before it runs out.
  if (limit() - announced_limit_ >= messages_.size() / 2) is_ack_due_ = true;
}

bool DatagramReceiver::release(uint32_t slot, uint32_t number) {
  if (slot >= owners_.size() || owners_[slot] == kNobody) return false;
  if ((owners_[slot] & kMessageMask) != number || owners_[slot] >= limit()) return false;
  owners_[slot] = kNobody;
  return true;
}

Ack DatagramReceiver::ack() const {
  Ack ack{.next = next_number_, .message_limit = limit(), .is_marked = is_marked_};
  // The same bits, turned so that the first is next_number_'s.
  const size_t word = next_number_ % kWindowPackets / 64;
  const int shift = static_cast<int>(next_number_ % 64);
  for (size_t i = 0; i < come_.size(); ++i) {
    const uint64_t low = come_[(word + i) % come_.size()] >> shift;
    const uint64_t high = come_[(word + i + 1) % come_.size()];
    ack.received[i] = shift == 0 ? low : low | high << (64 - shift);
  }
  return ack;
}

void DatagramReceiver::on_ack_sent() {
  announced_limit_ = limit();
  is_ack_due_ = is_marked_ = false;
}

}  // namespace phub::transport
