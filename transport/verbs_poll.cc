// What the verbs fabric does after set-up: puts, completions, letters, timers.
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "transport/verbs.h"
#include "transport/verbs_event.h"
#include "transport/verbs_path.h"

namespace phub::transport {
namespace {

// Batches of completions from one rail in one poll: those without events must not keep the other
// rails and the timers waiting for ever.
constexpr uint32_t kTakesMax = 16;

}  // namespace

size_t VerbsFabric::put(std::span<const Put> puts) {
  size_t taken = 0;
  while (taken < puts.size() && at(puts[taken].link).stage(puts[taken])) ++taken;
  for (size_t i = 0; i < taken; ++i) {
    if (i + 1 < taken && puts[i + 1].link == puts[i].link) continue;
    VerbsLink& link = at(puts[i].link);
    link.flush();
    if (link.take_hurry()) timers_at_ = {0};
  }
  return taken;
}

// Completions that were taken, a batch of them, as far as there is room for their events.
size_t VerbsFabric::deal_with_taken(VerbsRail& rail, std::span<Event> events) {
  std::array<uint16_t, VerbsRail::kBatch> touched;
  size_t touched_count = 0;
  size_t filled = 0;
  size_t dealt = 0;
  const auto taken = rail.taken();
  for (const ibv_wc& completion : taken.first(std::min<size_t>(taken.size(), touched.size()))) {
    if (filled == events.size()) break;
    ++dealt;
    const auto number = static_cast<uint16_t>(completion.wr_id >> 48);
    if (number == kVerbsMailNumber) {
      const auto letter = rail.mail().on_completion(completion);
      if (letter.has_value()) deliver(*letter);
      continue;
    }
    if (number >= numbers_.size() || numbers_[number].link == nullptr) continue;
    const VerbsPlace place = numbers_[number];
    if (place.link->on_completion(place.lane, completion, &events[filled])) ++filled;
    const auto end = touched.begin() + static_cast<ptrdiff_t>(touched_count);
    if (std::find(touched.begin(), end, number) == end) touched[touched_count++] = number;
  }
  rail.deal_with(dealt);
  for (size_t i = 0; i < touched_count; ++i) {
    const VerbsPlace place = numbers_[touched[i]];
    if (place.link == nullptr) continue;
    place.link->after_batch(place.lane);
    if (place.link->take_hurry()) timers_at_ = {0};
  }
  return filled;
}

size_t VerbsFabric::poll_rail(VerbsRail& rail, std::span<Event> events) {
  size_t filled = 0;
  for (uint32_t takes = 0; takes < kTakesMax && filled < events.size(); ++takes) {
    const bool is_rest = !rail.taken().empty();
    const bool is_short = !is_rest && rail.take() < VerbsRail::kBatch;
    filled += deal_with_taken(rail, events.subspan(filled));
    if (!is_short) continue;
    if (!rail.taken().empty()) break;
    for (const std::unique_ptr<VerbsLink>& link : links_) {
      if (link != nullptr && link->is_in_trouble()) link->on_empty(rail);
    }
    break;
  }
  return filled;
}

size_t VerbsFabric::poll(Instant now, std::span<Event> events) {
  size_t filled = 0;
  for (size_t i = 0; i < rails_.size(); ++i) {
    if (++rail_from_ >= rails_.size()) rail_from_ = 0;
    VerbsRail& rail = *rails_[rail_from_];
    if (rail.is_dead()) continue;
    filled += poll_rail(rail, events.subspan(filled));
    if (rail.is_unreadable()) give_up(rail, "its completions cannot be taken any more");
  }
  for (const std::unique_ptr<VerbsRail>& rail : rails_) {
    if (rail->mail().ways().has_answers()) take_ways(*rail);
  }
  if (now >= timers_at_) run_timers(now);
  for (size_t i = 0; i < links_.size() && filled < events.size(); ++i) {
    if (++report_from_ >= links_.size()) report_from_ = 0;
    VerbsLink* const link = links_[report_from_].get();
    if (link == nullptr) continue;
    if (link->is_live()) {
      filled += link->report(events.subspan(filled));
      if (link->is_in_trouble()) link->make_detours();
    } else if (link->take_loss()) {
      events[filled++] = {.kind = EventKind::lost, .link = link->id()};
    }
  }
  return filled;
}

void VerbsFabric::take_ways(const VerbsRail& rail) {
  for (const std::unique_ptr<VerbsLink>& link : links_) {
    if (link == nullptr) continue;
    link->take_ways(rail);
    if (link->take_hurry()) timers_at_ = {0};
  }
  for (const std::unique_ptr<VerbsFarewell>& farewell : farewells_) farewell->take_ways();
}

void VerbsFabric::deliver(const VerbsLetter& letter) {
  for (const std::unique_ptr<VerbsLink>& link : links_) {
    if (link == nullptr || link->cookie() != letter.cookie) continue;
    link->on_letter(letter);
    if (link->take_hurry()) timers_at_ = {0};
    return;
  }
  if (letter.kind == VerbsLetter::Kind::goodbye) return;
  for (const std::unique_ptr<VerbsFarewell>& farewell : farewells_) {
    if (farewell->cookie() == letter.cookie) return farewell->say();
  }
}

void VerbsFabric::take_async_events(VerbsRail& rail) {
  ibv_async_event event = {};
  errno = 0;
  while (verbs().get_async_event(rail.device().context.get(), &event) == 0) {
    const VerbsEvent meaning = meaning_of(event, rail.device().port);
    verbs().ack_async_event(&event);
    deal_with(rail, meaning);
    errno = 0;
  }
  if (errno != EIO && errno != ENODEV) return;
  // Its descriptors would wake everybody for ever.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, rail.wake_fd(), nullptr);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, rail.async_fd(), nullptr);
  give_up(rail, "the device has been taken away");
}

void VerbsFabric::deal_with(VerbsRail& rail, const VerbsEvent& event) {
  if (event.kind == VerbsEvent::Kind::other) return;
  if (event.kind == VerbsEvent::Kind::fatal) return give_up(rail, event.what);
  const bool is_change = event.kind == VerbsEvent::Kind::port_change;
  if (event.kind == VerbsEvent::Kind::port_down) rail.note_change();
  const VerbsAddress before = address_of(rail.device());
  const uint32_t index_before = rail.device().gid.entry.index;
  const bool has_moved =
      is_change && rail.refresh().ok() &&
      (rail.device().gid.entry.index != index_before || rail.device().gid.entry.gid != before.gid ||
       rail.device().lid != before.lid);
  for (const std::unique_ptr<VerbsLink>& link : links_) {
    if (link == nullptr || !link->is_live()) continue;
    if (event.kind == VerbsEvent::Kind::offence) link->on_offence(event.queue_pair, event.what);
    if (event.kind == VerbsEvent::Kind::queue_pair_lost) link->on_queue_pair_lost(event.queue_pair);
    if (event.kind == VerbsEvent::Kind::port_down) link->on_port_down(rail);
    if (is_change) link->on_port_change(rail, has_moved);
  }
  timers_at_ = {0};
}

// Completions of this rail will never come again.
void VerbsFabric::give_up(VerbsRail& rail, const char* why) {
  rail.give_up();
  timers_at_ = {0};
  for (const std::unique_ptr<VerbsLink>& link : links_) {
    if (link != nullptr) link->on_device_lost(rail, why);
  }
}

void VerbsFabric::run_timers(Instant now) {
  for (const std::unique_ptr<VerbsRail>& rail : rails_) {
    if (rail->is_dead()) continue;
    take_async_events(*rail);
    rail->mail().mend();
  }
  timers_at_ = {INT64_MAX};
  for (const std::unique_ptr<VerbsLink>& link : links_) {
    if (link == nullptr) continue;
    timers_at_ = std::min(timers_at_, link->run_timers(now));
    if (link->take_hurry()) timers_at_ = {0};
  }
  std::erase_if(farewells_, [&](const std::unique_ptr<VerbsFarewell>& farewell) {
    const Instant next = farewell->run_timers(now);
    if (next.ns != INT64_MAX) timers_at_ = std::min(timers_at_, next);
    return next.ns == INT64_MAX;
  });
}

bool VerbsFabric::arm() {
  for (const std::unique_ptr<VerbsRail>& rail : rails_) {
    rail->mail().ways().calm();  // Before the look for answers below.
    if (!rail->is_dead()) rail->arm();
  }
  bool is_idle = timers_at_.ns > 0;
  for (const std::unique_ptr<VerbsRail>& rail : rails_) {
    if (!rail->is_dead() && rail->taken().empty()) rail->take();
    is_idle = is_idle && (rail->is_dead() || (rail->taken().empty() && !rail->is_unreadable())) &&
              !rail->mail().ways().has_answers();
  }
  return is_idle && std::none_of(links_.begin(), links_.end(), [](const auto& link) {
           return link != nullptr && (link->has_report() || link->has_loss());
         });
}

void VerbsFabric::disarm() {
  for (const std::unique_ptr<VerbsRail>& rail : rails_) {
    rail->mail().ways().calm();
    if (rail->is_dead()) continue;
    rail->disarm();
    take_async_events(*rail);
  }
}

}  // namespace phub::transport
