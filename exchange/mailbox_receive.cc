// The receiving half of a mailbox.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "exchange/mailbox.h"

namespace phub::exchange {

using transport::Event;

void Mailbox::on_arrived(const Event& event) {
  const uint32_t value = mail_value(event.tag);
  switch (mail_kind(event.tag)) {
    case static_cast<uint32_t>(MailTag::eager):
      return on_ring(eager_in_, event);
    case static_cast<uint32_t>(MailTag::bulk):
      on_ring(bulk_in_, event);
      return take_bulk();
    case static_cast<uint32_t>(MailTag::grant):
      on_grant(value);
      break;
    case static_cast<uint32_t>(MailTag::eager_credit):
      on_credit(eager_out_, value);
      break;
    case static_cast<uint32_t>(MailTag::bulk_credit):
      on_credit(bulk_out_, value);
      break;
    default:
      fail("it sent a tag of unknown kind " + std::to_string(mail_kind(event.tag)));
  }
  fabric_.release(event);
}

void Mailbox::on_ring(InRing& ring, const Event& event) {
  const uint32_t value = mail_value(event.tag);
  const uint32_t ahead = (value - ring.next) & kMailValueMask;
  const uint32_t slot = value % ring.count;
  if (ahead >= ring.count || ring.is_there[slot]) {
    ++duplicates_;
    return fabric_.release(event);
  }
  ring.arrived[slot] = event;
  ring.is_there[slot] = true;
}

void Mailbox::release(InRing& ring) {
  const uint32_t slot = ring.next % ring.count;
  ring.is_there[slot] = false;
  fabric_.release(ring.arrived[slot]);
  ring.next = (ring.next + 1) & kMailValueMask;
}

std::optional<MailEvent> Mailbox::next_eager() {
  const uint32_t slot = eager_in_.next % eager_in_.count;
  if (!eager_in_.is_there[slot]) return std::nullopt;
  const Event& arrived = eager_in_.arrived[slot];
  const Result<MailHead> head = read_mail_head({arrived.data, arrived.bytes});
  if (!head.ok()) {
    fail(head.status().message());
    release(eager_in_);
    return std::nullopt;
  }
  MailEvent event;
  event.tag = head->tag;
  event.part_count = head->part_count;
  event.id = head->id;
  const std::byte* at = arrived.data + head->head_bytes();
  for (uint32_t i = 0; i < head->part_count; ++i) {
    event.parts[i] = {at, head->part_bytes[i]};
    if (head->kind == MailKind::eager) at += head->part_bytes[i];
  }
  if (head->kind == MailKind::eager) {
    event.kind = MailEventKind::message;
    holds_eager_ = true;
    return event;
  }
  release(eager_in_);
  if (head->kind == MailKind::farewell) {
    has_left_ = true;
    event.kind = MailEventKind::farewell;
    return event;
  }
  Incoming& incoming = incoming_[head->id];
  if (incoming.stage != Stage::free) {
    fail("it announced place " + std::to_string(head->id) + " twice");
    return std::nullopt;
  }
  incoming = Incoming();
  incoming.stage = Stage::announced;
  incoming.head = *head;
  incoming.left = head->payload_bytes();
  event.kind = MailEventKind::begun;
  return event;
}

void Mailbox::accept(uint32_t id, std::span<const std::span<std::byte>> to) {
  if (is_lost_) return;  // next() has said so, or will.
  Incoming& incoming = incoming_[id];
  PHUB_CHECK(id < kMailIdCount && incoming.stage == Stage::announced);
  PHUB_CHECK(to.size() <= kMailPartsMax);
  incoming.is_dropped = to.empty();
  std::copy(to.begin(), to.end(), incoming.to.begin());
  incoming.to_count = static_cast<uint32_t>(to.size());
  size_t room = 0;
  for (const std::span<std::byte> part : to) room += part.size();
  PHUB_CHECK(incoming.is_dropped || room == incoming.left);
  incoming.stage = Stage::granted;
  granted_.push(id);
  to_grant_.push(id);
}

void Mailbox::take_bulk() {
  while (!is_lost_ && bulk_in_.is_there[bulk_in_.next % bulk_in_.count]) {
    const Event& event = bulk_in_.arrived[bulk_in_.next % bulk_in_.count];
    if (!take_chunk({event.data, event.bytes})) fail("it sent bytes of no message");
    release(bulk_in_);
  }
}

bool Mailbox::take_chunk(std::span<const std::byte> chunk) {
  if (granted_.is_empty()) return false;
  const uint32_t id = granted_.front();
  Incoming& incoming = incoming_[id];
  if (chunk.empty() || chunk.size() > incoming.left) return false;
  incoming.left -= chunk.size();
  while (!incoming.is_dropped && !chunk.empty()) {
    const std::span<std::byte> part = incoming.to[incoming.part].subspan(incoming.offset);
    const size_t bytes = std::min(part.size(), chunk.size());
    if (bytes > 0) std::memcpy(part.data(), chunk.data(), bytes);
    chunk = chunk.subspan(bytes);
    incoming.offset += bytes;
    if (bytes == part.size()) {
      ++incoming.part;
      incoming.offset = 0;
    }
  }
  if (incoming.left == 0) {
    granted_.pop();
    whole_.push(id);
  }
  return true;
}

}  // namespace phub::exchange
