#include "transport/faulty.h"

#include <algorithm>
#include <array>

#include "base/try.h"

namespace phub::transport {
namespace {
constexpr uint64_t kRepeat = 1;  // Cookie of a repeat: its release is nobody's business.
constexpr size_t kBatch = 32;

Event repeat_of(const Event& event) {
  Event repeat = event;
  repeat.cookie = kRepeat;
  return repeat;
}
}  // namespace

FaultyFabric::FaultyFabric(std::unique_ptr<Fabric> inner, const FaultyOptions& options)
    : inner_(std::move(inner)), options_(options), random_(options.seed) {}

void FaultyFabric::add_link(LinkId link, const LinkOptions& options) {
  if (index_of(link) >= links_.size()) links_.resize(index_of(link) + 1);
  links_[index_of(link)] = Link();
  links_[index_of(link)].puts_max = size_t{options.acceptor_puts_max} + options.connector_puts_max;
  size_t puts = 0;
  for (const Link& each : links_) puts += each.puts_max;
  held_.reserve(2 * puts);
  arrivals_.reserve(2 * puts);
  free_arrivals_.reserve(2 * puts);
}

Result<LinkId> FaultyFabric::open(const LinkOptions& options, Bootstrap* offer) {
  PHUB_TRY_ASSIGN(const LinkId link, inner_->open(options, offer));
  add_link(link, options);
  return link;
}

Status FaultyFabric::accept(LinkId link, Bootstrap answer) {
  return inner_->accept(link, std::move(answer));
}

Result<LinkId> FaultyFabric::connect(const LinkOptions& options, Bootstrap offer,
                                     Bootstrap* answer) {
  PHUB_TRY_ASSIGN(const LinkId link, inner_->connect(options, std::move(offer), answer));
  add_link(link, options);
  return link;
}

// Drops what is held for the link; the fabric inside gets its arrivals back.
void FaultyFabric::forget(LinkId link) {
  std::erase_if(held_, [&](const Held& held) {
    if (held.event.link != link) return false;
    if (held.event.kind == EventKind::arrived) release(held.event);
    return true;
  });
}

void FaultyFabric::close(LinkId link) {
  forget(link);
  for (uint32_t i = 0; i < arrivals_.size(); ++i) {
    if (!arrivals_[i].is_used || arrivals_[i].event.link != link) continue;
    arrivals_[i].is_used = false;
    free_arrivals_.push_back(i);
  }
  if (index_of(link) < links_.size()) {
    if (is_lost(link) && !links_[index_of(link)].is_reported) --lost_unreported_count_;
    links_[index_of(link)] = Link();
  }
  inner_->close(link);
}

void FaultyFabric::lose(LinkId link, std::string reason) {
  if (is_lost(link)) return;
  links_[index_of(link)].lost_reason = std::move(reason);
  ++lost_unreported_count_;
  forget(link);
}

bool FaultyFabric::is_lost(LinkId link) const {
  return !links_[index_of(link)].lost_reason.empty();
}

std::string FaultyFabric::lost_reason(LinkId link) const {
  return is_lost(link) ? links_[index_of(link)].lost_reason : inner_->lost_reason(link);
}

size_t FaultyFabric::put(std::span<const Put> puts) {
  if (!puts.empty() && random_.chance(options_.partial_put)) {
    puts = puts.first(random_.below(puts.size()));
  }
  size_t taken = 0;
  while (taken < puts.size()) {
    // The longest run of puts that are not on lost links goes down in one call.
    size_t end = taken;
    while (end < puts.size() && !is_lost(puts[end].link)) ++end;
    if (end == taken) {
      ++taken;  // Taken, and vanishes.
      continue;
    }
    const size_t count = inner_->put(puts.subspan(taken, end - taken));
    taken += count;
    if (taken < end) break;
  }
  return taken;
}

bool FaultyFabric::hold(const Event& event) {
  if (held_.size() == held_.capacity()) return false;
  held_.push_back({event, draw_polls()});
  return true;
}

uint32_t FaultyFabric::draw_polls() {
  const uint32_t polls_max = options_.hold_polls_max;
  return polls_max == 0 ? 0 : static_cast<uint32_t>(random_.below(polls_max));
}

// A repeat is drawn when its original is given out, so that it never comes first.
bool FaultyFabric::draw_repeat(const Event& event) {
  return event.kind == EventKind::arrived && event.cookie != kRepeat &&
         random_.chance(options_.repeat);
}

uint64_t FaultyFabric::keep(const Event& event) {
  if (free_arrivals_.empty()) {
    free_arrivals_.push_back(static_cast<uint32_t>(arrivals_.size()));
    arrivals_.emplace_back();
  }
  const uint32_t index = free_arrivals_.back();
  free_arrivals_.pop_back();
  Arrival& arrival = arrivals_[index];
  arrival = {event, arrival.generation + 1, true};
  return uint64_t{arrival.generation} << 32 | uint64_t{index} << 1;
}

void FaultyFabric::release(const Event& event) {
  if (event.cookie == kRepeat) return;
  const uint32_t index = static_cast<uint32_t>(event.cookie) >> 1;
  Arrival& arrival = arrivals_[index];
  if (!arrival.is_used || arrival.generation != event.cookie >> 32) return;  // Its link is closed.
  arrival.is_used = false;
  free_arrivals_.push_back(index);
  inner_->release(arrival.event);
}

size_t FaultyFabric::report_losses(std::span<Event> events) {
  size_t count = 0;
  for (uint32_t i = 0; i < links_.size() && lost_unreported_count_ > 0; ++i) {
    Link& link = links_[i];
    if (link.lost_reason.empty() || link.is_reported) continue;
    if (count == events.size()) break;
    link.is_reported = true;
    --lost_unreported_count_;
    events[count++] = {.kind = EventKind::lost, .link = LinkId{i}};
  }
  return count;
}

size_t FaultyFabric::take_inner(Instant now, std::span<Event> events) {
  std::array<Event, kBatch> batch;
  const size_t got = inner_->poll(now, std::span(batch).first(std::min(kBatch, events.size())));
  size_t count = 0;
  for (size_t i = 0; i < got; ++i) {
    Event event = batch[i];
    if (is_lost(event.link)) {
      if (event.kind == EventKind::arrived) inner_->release(event);
      continue;
    }
    if (event.kind == EventKind::lost) {
      forget(event.link);  // Lost comes last.
      // Events of this batch that were given out already came before.
      events[count++] = event;
      continue;
    }
    if (event.kind == EventKind::arrived) event.cookie = keep(event);
    if (random_.chance(options_.hold) && hold(event)) continue;
    events[count++] = event;
    if (draw_repeat(event)) hold(repeat_of(event));
  }
  return count;
}

size_t FaultyFabric::take_held(std::span<Event> events) {
  size_t count = 0;
  size_t kept = 0;
  for (Held held : held_) {
    if (held.polls == 0 && count < events.size()) {
      events[count++] = held.event;
      if (draw_repeat(held.event)) {  // Takes the place of the original.
        held_[kept++] = {repeat_of(held.event), draw_polls()};
      }
      continue;
    }
    if (held.polls > 0) --held.polls;
    held_[kept++] = held;
  }
  held_.resize(kept);
  return count;
}

size_t FaultyFabric::poll(Instant now, std::span<Event> events) {
  last_poll_ = now;
  size_t count = report_losses(events);
  // Held events first: a full batch from inside must not keep them for ever.
  count += take_held(events.subspan(count));
  return count + take_inner(now, events.subspan(count));
}

bool FaultyFabric::arm() {
  if (lost_unreported_count_ > 0 || !held_.empty()) return false;
  if (random_.chance(options_.spurious_wake)) return false;
  return inner_->arm();
}

Instant FaultyFabric::next_deadline() const {
  return held_.empty() ? inner_->next_deadline() : last_poll_;
}

}  // namespace phub::transport
