// The sending half of a mailbox.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "exchange/mailbox.h"

namespace phub::exchange {
namespace {

// Cookies of puts: whose `sent` it is.
constexpr uint64_t kControlCookie = 0;
constexpr uint64_t kEagerCookie = uint64_t{1} << 32;  // | slot
constexpr uint64_t kBulkCookie = uint64_t{2} << 32;   // | slot
constexpr uint64_t kUserCookie = uint64_t{3} << 32;   // | slot | id << 16

}  // namespace

bool Mailbox::send(const OutgoingMail& mail) {
  PHUB_CHECK(mail.part_count <= kMailPartsMax);
  if (send_count_ == queue_.size()) return false;
  ++send_count_;
  queue_[queue_tail_++ % queue_.size()] = mail;
  return true;
}

void Mailbox::send_farewell() { wants_farewell_ = true; }

bool Mailbox::is_drained() const {
  return queue_head_ == queue_tail_ && !wants_farewell_ && eager_out_.used() == 0 &&
         bulk_out_.used() == 0 &&
         std::all_of(outgoing_.begin(), outgoing_.end(),
                     [](const Outgoing& one) { return one.stage == Stage::free; });
}

size_t Mailbox::pump() {
  if (!is_started_ || is_lost_) return 0;
  size_t count = 0;
  while (pump_controls()) ++count;
  while (pump_queue()) ++count;
  while (pump_streams()) ++count;
  return count;
}

bool Mailbox::put(const transport::Put& put) { return fabric_.put({&put, 1}) == 1; }

// Only a tag. To slot 0, which it does not touch.
bool Mailbox::put_control(MailTag kind, uint32_t value) {
  if (controls_in_flight_ == kMailIdCount) return false;
  const transport::Put tag_only{.link = link_,
                                .slot = 0,
                                .tag = make_mail_tag(kind, value),
                                .bytes = 0,
                                .data = nullptr,
                                .cookie = kControlCookie};
  if (!put(tag_only)) return false;
  ++controls_in_flight_;
  return true;
}

bool Mailbox::pump_controls() {
  if (!to_grant_.is_empty()) {
    const uint32_t id = to_grant_.front();
    if (!put_control(MailTag::grant, make_grant(id, grant_count_))) return false;
    ++grant_count_;
    to_grant_.pop();
    return true;
  }
  const auto tell = [this](InRing& ring, MailTag kind, uint32_t least) {
    const uint32_t news = (ring.next - ring.told) & kMailValueMask;
    if (news == 0 || (news < least && !has_left_)) return false;
    if (!put_control(kind, ring.next)) return false;
    ring.told = ring.next;
    return true;
  };
  // A message's last chunk is always told: its place is free again then.
  const bool is_between = granted_.is_empty();
  return tell(bulk_in_, MailTag::bulk_credit, is_between ? 1 : bulk_in_.count / 4) ||
         tell(eager_in_, MailTag::eager_credit, eager_in_.count / 4);
}

bool Mailbox::can_take(const OutRing& ring) const {
  return ring.used() < ring.count && !ring.is_borrowed[ring.next % ring.count];
}

// Where the bytes of the ring's next put are laid: at the receiver, or in registered memory here.
std::byte* Mailbox::staging(OutRing& ring, uint32_t slot) {
  std::byte* const window = fabric_.window(link_, ring.first_slot + slot);
  if (window != nullptr) return window;
  PHUB_DCHECK(ring.staging != nullptr);
  return ring.staging + size_t{slot} * ring.bytes;
}

bool Mailbox::pump_queue() {
  const bool is_over = queue_head_ == queue_tail_;
  if (is_over && !wants_farewell_) return false;
  if (!can_take(eager_out_)) return false;
  MailHead head;
  if (is_over) {
    head.kind = MailKind::farewell;
    if (!put_head(head, {})) return false;
    wants_farewell_ = false;
    return true;
  }
  const OutgoingMail& mail = queue_[queue_head_ % queue_.size()];
  head.tag = mail.tag;
  head.part_count = static_cast<uint16_t>(mail.part_count);
  for (uint32_t i = 0; i < mail.part_count; ++i) head.part_bytes[i] = mail.parts[i].size();
  if (head.head_bytes() + head.payload_bytes() > eager_out_.bytes) {
    head.kind = MailKind::announce;
    const auto free = std::find_if(outgoing_.begin(), outgoing_.end(),
                                   [](const Outgoing& one) { return one.stage == Stage::free; });
    if (free == outgoing_.end()) return false;
    head.id = static_cast<uint32_t>(free - outgoing_.begin());
    if (!put_head(head, mail)) return false;
    *free = Outgoing();
    free->mail = mail;
    free->stage = Stage::announced;
  } else {
    if (!put_head(head, mail)) return false;
    done_[done_tail_++ % done_.size()] = mail.cookie;
  }
  ++queue_head_;
  return true;
}

// An eager frame: the head, and unless it announces, the payload.
bool Mailbox::put_head(MailHead& head, const OutgoingMail& mail) {
  const uint32_t slot = eager_out_.next % eager_out_.count;
  std::byte* const at = staging(eager_out_, slot);
  write_mail_head(head, at);
  auto bytes = static_cast<uint32_t>(head.head_bytes());
  if (head.kind == MailKind::eager) {
    for (uint32_t i = 0; i < mail.part_count; ++i) {
      if (!mail.parts[i].empty()) {
        std::memcpy(at + bytes, mail.parts[i].data(), mail.parts[i].size());
      }
      bytes += static_cast<uint32_t>(mail.parts[i].size());
    }
  }
  const bool is_window = fabric_.window(link_, slot) != nullptr;
  if (!put({.link = link_,
            .slot = slot,
            .tag = make_mail_tag(MailTag::eager, eager_out_.next),
            .bytes = bytes,
            .data = at,
            .cookie = kEagerCookie | slot})) {
    return false;
  }
  eager_out_.is_borrowed[slot] = !is_window;
  eager_out_.next = (eager_out_.next + 1) & kMailValueMask;
  return true;
}

bool Mailbox::pump_streams() {
  if (streams_.is_empty() || !can_take(bulk_out_)) return false;
  return put_chunk(streams_.front());
}

// The next run of one part's bytes.
bool Mailbox::put_chunk(uint32_t id) {
  Outgoing& out = outgoing_[id];
  while (out.offset == out.mail.parts[out.part].size()) {  // Empty parts.
    ++out.part;
    out.offset = 0;
  }
  const uint32_t slot = bulk_out_.next % bulk_out_.count;
  const std::span<const std::byte> part = out.mail.parts[out.part].subspan(out.offset);
  const auto bytes = static_cast<uint32_t>(std::min<size_t>(part.size(), bulk_out_.bytes));
  const bool is_direct = fabric_.traits().any_memory;
  std::byte* const at = is_direct ? nullptr : staging(bulk_out_, slot);
  if (!is_direct) std::memcpy(at, part.data(), bytes);
  const bool is_window = !is_direct && fabric_.window(link_, bulk_out_.first_slot + slot) == at;
  if (!put({.link = link_,
            .slot = bulk_out_.first_slot + slot,
            .tag = make_mail_tag(MailTag::bulk, bulk_out_.next),
            .bytes = bytes,
            .data = is_direct ? part.data() : at,
            .cookie = is_direct ? kUserCookie | slot | uint64_t{id} << 16 : kBulkCookie | slot})) {
    return false;
  }
  bulk_out_.is_borrowed[slot] = !is_window;
  bulk_out_.next = (bulk_out_.next + 1) & kMailValueMask;
  out.borrowed += is_direct ? 1 : 0;
  out.offset += bytes;
  while (out.part < out.mail.part_count && out.offset == out.mail.parts[out.part].size()) {
    ++out.part;
    out.offset = 0;
  }
  if (out.part == out.mail.part_count) {
    out.stage = Stage::draining;
    out.last = bulk_out_.next;
    streams_.pop();
    if (out.borrowed == 0) done_[done_tail_++ % done_.size()] = out.mail.cookie;
  }
  return true;
}

void Mailbox::on_sent(uint64_t cookie) {
  const auto slot = static_cast<uint32_t>(cookie & 0xffff);
  switch (cookie >> 32) {
    case 0:
      --controls_in_flight_;
      return;
    case 1:
      eager_out_.is_borrowed[slot] = false;
      return;
    case 2:
      bulk_out_.is_borrowed[slot] = false;
      return;
    default:
      break;
  }
  bulk_out_.is_borrowed[slot] = false;
  const auto id = static_cast<uint32_t>(cookie >> 16 & 0xffff);
  Outgoing& out = outgoing_[id];
  if (--out.borrowed == 0 && out.stage == Stage::draining) {
    done_[done_tail_++ % done_.size()] = out.mail.cookie;
    settle(id);
  }
}

// The place is free when the user has his memory back and the receiver has taken the last chunk:
// only then can it not take a new message's announcement for a mistake.
void Mailbox::settle(uint32_t id) {
  Outgoing& out = outgoing_[id];
  if (out.stage != Stage::draining || out.borrowed > 0) return;
  const uint32_t left = (out.last - bulk_out_.given) & kMailValueMask;
  if (left == 0 || left > bulk_out_.count) out.stage = Stage::free;
}

void Mailbox::on_credit(OutRing& ring, uint32_t value) {
  const uint32_t news = (value - ring.given) & kMailValueMask;
  if (news > ring.used()) {
    ++duplicates_;  // An older one.
    return;
  }
  ring.given = value;
  if (&ring != &bulk_out_) return;
  for (uint32_t id = 0; id < kMailIdCount; ++id) settle(id);
}

// Grants are taken in the order in which they were given, for so the receiver expects the bytes.
void Mailbox::on_grant(uint32_t value) {
  const uint32_t id = value % kMailIdCount;
  const uint32_t ahead = (value / kMailIdCount - next_grant_) & kGrantMask;
  if (ahead >= kMailIdCount) {
    ++duplicates_;
    return;
  }
  early_grants_[(next_grant_ + ahead) % kMailIdCount] = static_cast<int8_t>(id);
  while (early_grants_[next_grant_ % kMailIdCount] >= 0) {
    int8_t& early = early_grants_[next_grant_ % kMailIdCount];
    const auto granted = static_cast<uint32_t>(early);
    early = -1;
    next_grant_ = (next_grant_ + 1) & kGrantMask;
    if (outgoing_[granted].stage != Stage::announced) {
      return fail("it wants a message that was not announced");
    }
    outgoing_[granted].stage = Stage::granted;
    streams_.push(granted);
  }
}

}  // namespace phub::exchange
