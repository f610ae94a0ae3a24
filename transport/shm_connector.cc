#include "transport/shm_connector.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace phub::transport {

ShmConnector::ShmConnector(LinkId id, uint32_t generation, LinkOptions options,
                           base::Mapping memory, base::Fd socket,
                           std::vector<std::span<std::byte>> regions)
    : ShmLink(id, generation, std::move(options), std::move(memory), std::move(socket)),
      pushes_(&rings_.header->pushes, rings_.pushes, rings_.push_capacity),
      releases_(&rings_.header->releases, rings_.releases, rings_.push_capacity),
      replies_(&rings_.header->replies, rings_.replies, rings_.reply_capacity),
      unfinished_(options_.connector_puts_max),
      regions_(std::move(regions)) {
  free_indices_.reserve(unfinished_.size());
  for (size_t i = unfinished_.size(); i-- > 0;) {
    free_indices_.push_back(static_cast<uint32_t>(i));
  }
  tails_[0] = &rings_.header->replies.tail;
  tails_[1] = &rings_.header->releases.tail;
  set_live();
}

RegionSpan ShmConnector::locate(const Put& put) {
  RegionSpan at;
  if (last_region_ < regions_.size() &&
      find_region(std::span(regions_).subspan(last_region_, 1), put.data, put.bytes, &at)) {
    return {last_region_, at.offset};
  }
  const bool is_registered = find_region(regions_, put.data, put.bytes, &at);
  PHUB_CHECK(is_registered);
  last_region_ = at.region;
  return at;
}

bool ShmConnector::stage(const Put& put) {
  if (is_lost()) return true;
  PHUB_CHECK(put.slot < options_.peer_slot_count);
  if (free_indices_.empty()) return false;
  RegionSpan at;
  if (put.bytes > 0) at = locate(put);
  const uint32_t index = free_indices_.back();
  free_indices_.pop_back();
  unfinished_[index] = {put.cookie, true};
  pushes_.stage({.tag = put.tag,
                 .bytes = put.bytes,
                 .region = at.region,
                 .slot = put.slot,
                 .offset = at.offset,
                 .index = index});
  return true;
}

void ShmConnector::publish() { pushes_.publish(); }

void ShmConnector::wake_peer() {
  if (claim_wake(peer_line(), pushes_.tail(), pushes_.tail())) send_wake();
}

size_t ShmConnector::take_releases(std::span<Event> events) {
  const uint64_t count = std::min<uint64_t>(releases_.available(), events.size());
  if (releases_.is_corrupt()) lose(ShmLoss::corrupt_ring);
  size_t filled = 0;
  for (; filled < count; ++filled) {
    const ReleaseRecord index = take_copy(releases_);
    if (index >= unfinished_.size() || !unfinished_[index].is_used) {
      lose(ShmLoss::unknown_release, index);
      break;
    }
    unfinished_[index].is_used = false;
    free_indices_.push_back(index);
    events[filled] = {.kind = EventKind::sent, .link = id(), .cookie = unfinished_[index].cookie};
  }
  if (count > 0) releases_.publish();
  taken_[1] = releases_.head();
  return filled;
}

size_t ShmConnector::take_replies(std::span<Event> events, uint64_t count) {
  size_t filled = 0;
  for (; filled < count; ++filled) {
    const ReplyRecord reply = take_copy(replies_);
    if (reply.bytes == kClosingBytes) {
      lose(ShmLoss::peer_closed);
      break;
    }
    if (reply.slot >= options_.slots.size()) {
      lose(ShmLoss::wrong_slot, reply.slot, options_.slots.size());
      break;
    }
    const Slot& slot = options_.slots[reply.slot];
    if (reply.bytes > slot.bytes) {
      lose(ShmLoss::too_long, reply.bytes, slot.bytes);
      break;
    }
    events[filled] = {.kind = EventKind::arrived,
                      .link = id(),
                      .tag = reply.tag,
                      .bytes = reply.bytes,
                      .data = slot.data,
                      .cookie = event_cookie(0)};
  }
  if (count > 0) replies_.publish();
  taken_[0] = replies_.head();
  return filled;
}

size_t ShmConnector::poll(std::span<Event> events) {
  if (is_lost()) return report_loss(events, 0);
  // Replies are counted before releases are taken: whose reply is handed out, whose earlier
  // releases are too, if there is room.
  uint64_t replies = replies_.available();
  if (replies_.is_corrupt()) lose(ShmLoss::corrupt_ring);
  size_t filled = take_releases(events);
  replies = std::min<uint64_t>(replies, events.size() - filled);
  if (!is_lost() && replies > 0) {
    filled += take_replies(events.subspan(filled), replies);
  } else if (filled == 0 && !events.empty()) {
    end_if_peer_left();
  }
  filled = report_loss(events, filled);
  if (filled == 0) is_restless_ = false;
  return filled;
}

// A reply lies in the receiver's own slot: nobody waits for its release.
void ShmConnector::release(uint32_t /*index*/) {}

void ShmConnector::park() {
  // Who wants several replies is not to be woken by the `sent` events that come on the way.
  const uint64_t sent_wanted = wanted_ > 1 ? kNever : 1;
  transport::park(own_line(), replies_.head() + wanted_, releases_.head() + sent_wanted);
}

bool ShmConnector::is_due() {
  if (is_lost()) return has_loss_to_report();
  if (replies_.available() >= wanted_ || (wanted_ == 1 && releases_.available() > 0)) return true;
  return replies_.is_corrupt() || releases_.is_corrupt() || is_due_without_records();
}

void ShmConnector::stage_closing() {
  if (pushes_.free_count() > 0) pushes_.stage({.bytes = kClosingBytes});
}

}  // namespace phub::transport
