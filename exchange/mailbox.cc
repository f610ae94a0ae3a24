// Set-up, and what both directions share. mailbox_send.cc, mailbox_receive.cc have the rest.
#include "exchange/mailbox.h"

#include <utility>

#include "base/check.h"
#include "base/try.h"

namespace phub::exchange {

using transport::Event;
using transport::EventKind;

Mailbox::Mailbox(transport::Fabric& fabric, bool is_acceptor, std::string peer,
                 const MailboxOptions& options)
    : fabric_(fabric), is_acceptor_(is_acceptor), peer_(std::move(peer)), options_(options) {
  for (const uint32_t count : {options.eager_slots, options.bulk_slots}) {
    PHUB_CHECK(count >= 2 && count <= 4096 && (count & (count - 1)) == 0);
  }
  PHUB_CHECK(options.eager_bytes >= 256 && options.bulk_bytes >= 256 && options.sends_max > 0);
  eager_out_.count = options.eager_slots;
  eager_out_.bytes = options.eager_bytes;
  bulk_out_.first_slot = options.eager_slots;
  bulk_out_.count = options.bulk_slots;
  bulk_out_.bytes = options.bulk_bytes;
  for (OutRing* ring : {&eager_out_, &bulk_out_}) ring->is_borrowed.resize(ring->count);
  eager_in_.count = options.eager_slots;
  bulk_in_.count = options.bulk_slots;
  for (InRing* ring : {&eager_in_, &bulk_in_}) {
    ring->arrived.resize(ring->count);
    ring->is_there.resize(ring->count);
  }
  queue_.resize(options.sends_max);
  done_.resize(options.sends_max);
  early_grants_.fill(-1);
}

Result<std::unique_ptr<Mailbox>> Mailbox::create(transport::Fabric& fabric, bool is_acceptor,
                                                 std::string peer, const MailboxOptions& options) {
  std::unique_ptr<Mailbox> mailbox(new Mailbox(fabric, is_acceptor, std::move(peer), options));
  PHUB_TRY(mailbox->allocate());
  return mailbox;
}

Status Mailbox::allocate() {
  const size_t bytes = size_t{options_.eager_slots} * options_.eager_bytes +
                       size_t{options_.bulk_slots} * options_.bulk_bytes;
  const transport::Traits traits = fabric_.traits();
  if (!(is_acceptor_ && traits.by_reference)) {
    PHUB_TRY_ASSIGN(in_memory_, fabric_.allocate(bytes));
  }
  if (!(is_acceptor_ && traits.windows)) {
    PHUB_TRY_ASSIGN(out_memory_, fabric_.allocate(bytes));
    eager_out_.staging = out_memory_.data();
    bulk_out_.staging = out_memory_.data() + size_t{options_.eager_slots} * options_.eager_bytes;
  }
  return {};
}

transport::LinkOptions Mailbox::link_options() const {
  transport::LinkOptions link;
  std::byte* at = in_memory_.data();
  for (const OutRing* ring : {&eager_out_, &bulk_out_}) {
    for (uint32_t i = 0; i < ring->count; ++i) {
      link.slots.push_back({at, ring->bytes});
      link.peer_slot_bytes.push_back(ring->bytes);
      if (at != nullptr) at += ring->bytes;
    }
  }
  link.peer_slot_count = static_cast<uint32_t>(link.slots.size());
  // Each slot once, and the words without payload.
  link.acceptor_puts_max = link.connector_puts_max = link.peer_slot_count + 2 * kMailIdCount;
  link.peer = peer_;
  return link;
}

void Mailbox::start(transport::LinkId link) {
  PHUB_CHECK(!is_started_);
  link_ = link;
  is_started_ = true;
}

void Mailbox::on_event(const Event& event) {
  switch (event.kind) {
    case EventKind::arrived:
      return on_arrived(event);
    case EventKind::sent:
      return on_sent(event.cookie);
    case EventKind::lost:
      return fail(fabric_.lost_reason(link_));
  }
}

void Mailbox::fail(std::string reason) {
  if (is_lost_) return;
  is_lost_ = true;
  reason_ = peer_ + ": " + std::move(reason);
}

// After a loss: every send that has not ended, then every message begun, then the loss itself.
std::optional<MailEvent> Mailbox::next_failure() {
  MailEvent event;
  event.ok = false;
  if (queue_head_ != queue_tail_) {
    event.kind = MailEventKind::sent;
    event.cookie = queue_[queue_head_++ % queue_.size()].cookie;
    --send_count_;
    return event;
  }
  for (; failed_ < 2 * kMailIdCount; ++failed_) {
    const uint32_t id = failed_ % kMailIdCount;
    if (failed_ < kMailIdCount && outgoing_[id].stage != Stage::free) {
      const bool was_told = outgoing_[id].stage == Stage::draining && outgoing_[id].borrowed == 0;
      outgoing_[id].stage = Stage::free;
      if (was_told) continue;
      event.kind = MailEventKind::sent;
      event.cookie = outgoing_[id].mail.cookie;
      --send_count_;
      return event;
    }
    if (failed_ >= kMailIdCount && incoming_[id].stage != Stage::free) {
      incoming_[id].stage = Stage::free;
      event.kind = MailEventKind::received;
      event.id = id;
      return event;
    }
  }
  if (has_told_loss_) return std::nullopt;
  has_told_loss_ = true;
  event.kind = MailEventKind::lost;
  return event;
}

std::optional<MailEvent> Mailbox::next(bool takes_mail) {
  if (holds_eager_) {
    holds_eager_ = false;
    release(eager_in_);
  }
  MailEvent event;
  if (done_head_ != done_tail_) {
    event.kind = MailEventKind::sent;
    event.cookie = done_[done_head_++ % done_.size()];
    --send_count_;
    return event;
  }
  if (!whole_.is_empty()) {
    event.kind = MailEventKind::received;
    event.id = whole_.front();
    event.tag = incoming_[event.id].head.tag;
    whole_.pop();
    incoming_[event.id].stage = Stage::free;
    return event;
  }
  if (takes_mail) {  // What came before a loss is still handed out.
    if (std::optional<MailEvent> mail = next_eager()) return mail;
  }
  if (is_lost_) return next_failure();
  return std::nullopt;
}

}  // namespace phub::exchange
