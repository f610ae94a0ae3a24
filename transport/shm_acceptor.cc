#include "transport/shm_acceptor.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/try.h"

namespace phub::transport {

ShmAcceptor::ShmAcceptor(LinkId id, uint32_t generation, LinkOptions options, base::Mapping memory,
                         base::Fd socket)
    : ShmLink(id, generation, std::move(options), std::move(memory), std::move(socket)),
      pushes_(&rings_.header->pushes, rings_.pushes, rings_.push_capacity),
      releases_(&rings_.header->releases, rings_.releases, rings_.push_capacity),
      replies_(&rings_.header->replies, rings_.replies, rings_.reply_capacity),
      sent_(rings_.reply_capacity) {
  tails_[0] = tails_[1] = &rings_.header->pushes.tail;
}

Status ShmAcceptor::accept(Bootstrap answer) {
  PHUB_TRY_ASSIGN(const ShmAnswer decoded, decode_shm_answer(answer.blob, options_));
  if (answer.fds.size() != decoded.region_bytes.size()) {
    return Status(Code::invalid_argument,
                  "shm answer with " + std::to_string(answer.fds.size()) + " descriptors for " +
                      std::to_string(decoded.region_bytes.size()) + " regions");
  }
  for (size_t i = 0; i < decoded.region_bytes.size(); ++i) {
    const uint64_t bytes = decoded.region_bytes[i];
    auto mapping = map_peer_memory(answer.fds[i].get(), bytes);
    if (!mapping.ok()) return mapping.status().with_context("region " + std::to_string(i));
    regions_.push_back((*mapping)->bytes().first(bytes));
    mappings_.push_back(std::move(mapping).value());
  }
  windows_.reserve(decoded.slots.size());
  for (const ShmAnswer::PlacedSlot& slot : decoded.slots) {
    Window window;
    if (slot.bytes > 0) {
      window = {mappings_[slot.at.region]->data() + slot.at.offset, slot.bytes};
    }
    windows_.push_back(window);
  }
  set_live();
  return {};
}

bool ShmAcceptor::has_reply_room() {
  if (reply_room_ > 0) return true;
  const uint64_t room = replies_.free_count();
  // The last place is the closing record's.
  if (room > 1) reply_room_ = room - 1;
  const uint64_t head = rings_.header->replies.head.load(std::memory_order_relaxed);
  if (room == 0 && replies_.tail() - head > rings_.reply_capacity) lose(ShmLoss::corrupt_ring);
  return reply_room_ > 0;
}

bool ShmAcceptor::stage(const Put& put) {
  if (is_lost()) return true;
  PHUB_CHECK(put.slot < windows_.size());
  if (!has_reply_room()) return is_lost();
  const Window& window = windows_[put.slot];
  if (put.bytes > window.bytes) {
    lose(ShmLoss::window_too_small, put.bytes, window.bytes);
    return true;
  }
  if (window.data == nullptr || put.data != window.data) {
    if (sent_tail_ - sent_head_ == sent_.size()) return false;
    if (put.bytes > 0) std::memcpy(window.data, put.data, put.bytes);
    sent_[sent_tail_++ & (sent_.size() - 1)] = put.cookie;
    is_restless_ = true;
  }
  --reply_room_;
  replies_.stage({.tag = put.tag, .bytes = put.bytes, .slot = put.slot});
  return true;
}

void ShmAcceptor::publish() {
  // In this order: who sees a reply sees the releases that came before it.
  releases_.publish();
  replies_.publish();
}

void ShmAcceptor::wake_peer() {
  if (claim_wake(peer_line(), replies_.tail(), releases_.tail())) send_wake();
}

bool ShmAcceptor::arrive(const PushRecord& push, Event* event) {
  if (push.bytes == kClosingBytes) {
    lose(ShmLoss::peer_closed);
    return false;
  }
  if (push.slot >= options_.slots.size()) {
    lose(ShmLoss::wrong_slot, push.slot, options_.slots.size());
    return false;
  }
  if (push.bytes > options_.slots[push.slot].bytes) {
    lose(ShmLoss::too_long, push.bytes, options_.slots[push.slot].bytes);
    return false;
  }
  if (unreleased_ == options_.connector_puts_max) {
    lose(ShmLoss::too_many_puts, 0, options_.connector_puts_max);
    return false;
  }
  const std::byte* data = nullptr;
  if (push.bytes > 0) {
    if (push.region >= regions_.size() || push.offset > regions_[push.region].size() ||
        push.bytes > regions_[push.region].size() - push.offset) {
      lose(ShmLoss::outside_memory, push.region, push.offset);
      return false;
    }
    data = regions_[push.region].data() + push.offset;
  }
  ++unreleased_;
  *event = {.kind = EventKind::arrived,
            .link = id(),
            .tag = push.tag,
            .bytes = push.bytes,
            .data = data,
            .cookie = event_cookie(push.index)};
  return true;
}

size_t ShmAcceptor::poll(std::span<Event> events) {
  size_t filled = 0;
  if (is_lost()) return report_loss(events, filled);
  while (sent_head_ != sent_tail_ && filled < events.size()) {
    const uint64_t cookie = sent_[sent_head_++ & (sent_.size() - 1)];
    events[filled++] = {.kind = EventKind::sent, .link = id(), .cookie = cookie};
  }
  const uint64_t waiting = std::min<uint64_t>(pushes_.available(), events.size() - filled);
  for (uint64_t i = 0; i < waiting; ++i) {
    const PushRecord push = take_copy(pushes_);
    if (!arrive(push, &events[filled])) break;
    ++filled;
  }
  if (waiting > 0) {
    pushes_.publish();
    taken_[0] = taken_[1] = pushes_.head();
  } else if (pushes_.is_corrupt()) {
    lose(ShmLoss::corrupt_ring);
  } else if (filled < events.size()) {
    end_if_peer_left();
  }
  filled = report_loss(events, filled);
  if (filled == 0) is_restless_ = false;
  return filled;
}

void ShmAcceptor::release(uint32_t index) {
  if (is_lost()) return;
  PHUB_DCHECK(unreleased_ > 0);
  --unreleased_;
  if (release_room_ == 0) release_room_ = releases_.free_count();
  // A correct worker has taken the releases of all but connector_puts_max of its puts.
  if (release_room_ == 0) return lose(ShmLoss::corrupt_ring);
  --release_room_;
  releases_.stage(index);
}

std::byte* ShmAcceptor::window(uint32_t slot) {
  PHUB_CHECK(slot < windows_.size());
  return windows_[slot].data;
}

void ShmAcceptor::park() {
  transport::park(own_line(), pushes_.head() + wanted_, pushes_.head() + kNever);
}

bool ShmAcceptor::is_due() {
  if (is_lost()) return has_loss_to_report();
  if (sent_head_ != sent_tail_) return true;
  const uint64_t waiting = pushes_.available();
  return waiting >= wanted_ || pushes_.is_corrupt() || is_due_without_records();
}

void ShmAcceptor::stage_closing() {
  if (replies_.free_count() > 0) replies_.stage({.bytes = kClosingBytes});
}

}  // namespace phub::transport
