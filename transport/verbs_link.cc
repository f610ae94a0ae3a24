#include "transport/verbs_link.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/try.h"
#include "transport/verbs_path.h"

namespace phub::transport {
namespace {

// As many as can be under way, or as the options allow; a power of two.
uint32_t depth_of(uint32_t puts_max, uint32_t queue_depth) {
  const uint32_t most = std::bit_floor(std::clamp(queue_depth, 16u, 32768u));
  return std::min(std::bit_ceil(std::clamp(puts_max, 16u, 32768u)), most);
}

}  // namespace

Result<std::unique_ptr<VerbsLink>> VerbsLink::make(Setup setup, std::span<VerbsRail* const> rails,
                                                   const VerbsMemory& memory,
                                                   std::vector<VerbsPlace>& numbers) {
  std::unique_ptr<VerbsLink> link(new VerbsLink(std::move(setup)));
  PHUB_TRY(link->prepare(rails, memory, numbers));
  return link;
}

Status VerbsLink::prepare(std::span<VerbsRail* const> rails, const VerbsMemory& memory,
                          std::vector<VerbsPlace>& numbers) {
  numbers_ = &numbers;
  PHUB_TRY_ASSIGN(area_, arrange_slots(setup_.options.slots, memory, !setup_.is_acceptor));
  for (uint32_t rail = 0; rail < setup_.rail_count; ++rail) {
    rails_.push_back(rails[rail % rails.size()]);
    // Without windows only a domain of its own keeps the ranks of one job apart.
    const bool has_own = setup_.is_acceptor && !uses_windows(rail);
    PHUB_TRY_ASSIGN(VerbsDomain* const domain,
                    rails_.back()->join_domain(has_own ? setup_.cookie : setup_.options.domain,
                                               setup_.options.domain));
    domains_.push_back(domain);
    PHUB_TRY(prepare_rail(rail, numbers));
  }
  trouble_count_ = static_cast<uint32_t>(lanes_.size());
  return {};
}

Status VerbsLink::prepare_rail(uint32_t rail, std::vector<VerbsPlace>& numbers) {
  ibv_pd* const pd = domains_[rail]->pd.get();
  const bool for_windows = uses_windows(rail);
  std::vector<VerbsRegion>& regions = slot_regions_.emplace_back();
  for (size_t i = 0; i < area_.ranges.size(); ++i) {
    if (area_.is_shared[i]) {
      PHUB_TRY_ASSIGN(VerbsRegion region,
                      rails_[rail]->share_landing(*domains_[rail], area_.ranges[i]));
      regions.push_back(std::move(region));
    } else {
      PHUB_TRY_ASSIGN(VerbsPtr<ibv_mr> region, register_range(pd, area_.ranges[i], for_windows));
      regions.push_back(std::move(region));
    }
  }
  for (uint32_t i = 0; i < setup_.queue_pairs; ++i) {
    auto place = std::find_if(numbers.begin(), numbers.end(),
                              [](const VerbsPlace& one) { return one.link == nullptr; });
    if (place == numbers.end()) place = numbers.emplace(place);
    const auto number = static_cast<size_t>(place - numbers.begin());
    if (number >= kVerbsMailNumber) {
      return Status(Code::resource_exhausted, "this fabric has 65535 queue pairs already");
    }
    PHUB_TRY(rails_[rail]->reserve_completions(VerbsQueue::completions_max(shape())));
    *place = {this, static_cast<uint32_t>(lanes_.size()), place->generation};
    Lane& lane = lanes_.emplace_back();
    lane.rail = rail;
    lane.queue = std::make_unique<VerbsQueue>(
        *rails_[rail], *domains_[rail], static_cast<uint16_t>(number), place->generation, shape(),
        for_windows && !regions.empty() ? regions.front().get() : nullptr);
    PHUB_TRY(lane.queue->make());
  }
  return {};
}

VerbsLink::~VerbsLink() {
  forget_ways();
  for (size_t i = 0; i < lanes_.size(); ++i) {
    VerbsRail& rail = *rails_[lanes_[i].rail];
    rail.release_completions(VerbsQueue::completions_max(shape()));
    if (is_in_trouble() && lanes_[i].phase != Phase::up && state_ == State::live) {
      rail.counters().links_down.add(UINT64_MAX);
    }
    lanes_[i].queue->unmake();
    (*numbers_)[lanes_[i].queue->number()] = {nullptr, 0, lanes_[i].queue->generation()};
  }
  lanes_.clear();
  slot_regions_.clear();
  mailboxes_.clear();
  for (size_t rail = 0; rail < domains_.size(); ++rail) rails_[rail]->leave_domain(domains_[rail]);
}

VerbsQueueShape VerbsLink::shape() const {
  const LinkOptions& options = setup_.options;
  const uint32_t ours = setup_.is_acceptor ? options.acceptor_puts_max : options.connector_puts_max;
  const uint32_t theirs =
      setup_.is_acceptor ? options.connector_puts_max : options.acceptor_puts_max;
  const uint32_t depth = rails_.back()->options().queue_depth;
  return {depth_of(ours, depth), depth_of(theirs, depth), options.tag_slot_mask};
}

// Only a hub needs windows: a worker's queue pairs are joined to the hub's alone. Devices differ.
bool VerbsLink::uses_windows(uint32_t rail) const {
  return setup_.is_acceptor && fits_window(area_.ranges) && rails_[rail]->device().has_windows;
}

VerbsTarget VerbsLink::target(uint32_t rail) const {
  return {&peer_.slots, &peer_.rails[rail].range_keys, peer_.receive_depth};
}

VerbsBootstrap VerbsLink::bootstrap() const {
  VerbsBootstrap blob;
  blob.role = setup_.is_acceptor ? VerbsBootstrap::Role::offer : VerbsBootstrap::Role::answer;
  blob.cookie = setup_.cookie;
  blob.peer_slot_count = setup_.options.peer_slot_count;
  blob.acceptor_puts_max = setup_.options.acceptor_puts_max;
  blob.connector_puts_max = setup_.options.connector_puts_max;
  blob.tag_slot_mask = setup_.options.tag_slot_mask;
  blob.receive_depth = shape().receive_depth;
  blob.range_count = std::max(static_cast<uint32_t>(area_.ranges.size()), 1u);
  blob.queue_pairs = setup_.queue_pairs;
  for (uint32_t rail = 0; rail < rails_.size(); ++rail) {
    VerbsRailOffer& offer = blob.rails.emplace_back();
    offer.address = address_of(rails_[rail]->device());
    offer.mail_queue_pair = rails_[rail]->mail().queue_pair();
    offer.mail_key = rails_[rail]->mail().key();
    for (const VerbsRegion& region : slot_regions_[rail]) {
      offer.range_keys.push_back(uses_windows(rail) ? 0 : region->rkey);
    }
    offer.range_keys.resize(blob.range_count);
    for (uint32_t i = 0; i < setup_.queue_pairs; ++i) {
      offer.endpoints.push_back(lanes_[rail * setup_.queue_pairs + i].queue->endpoint());
    }
  }
  blob.slots = area_.slots;
  return blob;
}

Status VerbsLink::check_address(uint32_t rail, const VerbsAddress& address) const {
  const VerbsDevice& device = rails_[rail]->device();
  if (address.is_infiniband == device.is_infiniband) return {};
  const auto kind = [](bool is_infiniband) { return is_infiniband ? "InfiniBand" : "Ethernet"; };
  return Status(Code::unavailable, device.name + " is on " + kind(device.is_infiniband) +
                                       " and the peer's device on " + kind(address.is_infiniband) +
                                       ": no way leads from one to the other; name devices of one "
                                       "kind on both ends, in the same order");
}

Status VerbsLink::open_mailbox(uint32_t rail) {
  const VerbsAddress& address = peer_.rails[rail].address;
  PHUB_TRY(check_address(rail, address));
  PHUB_TRY_ASSIGN(VerbsPtr<ibv_ah> way, rails_[rail]->mail().way_to(address));
  mailboxes_[rail].way = std::move(way);
  ways_[rail].is_fresh = true;
  return {};
}

Status VerbsLink::join(VerbsBootstrap peer) {
  if (peer.cookie != setup_.cookie || peer.rails.size() != rails_.size() ||
      peer.queue_pairs != setup_.queue_pairs) {
    return Status(Code::invalid_argument, "verbs answer does not fit its offer");
  }
  peer_ = std::move(peer);
  mailboxes_.resize(rails_.size());
  ways_.resize(rails_.size());
  // One rail that is dead, at this end or in between, must not keep the others from working.
  std::vector<Status> by_lane;
  for (uint32_t rail = 0; rail < rails_.size(); ++rail) {
    const VerbsRailOffer& theirs = peer_.rails[rail];
    peer_gids_.push_back(theirs.address.gid);
    mailboxes_[rail].queue_pair = theirs.mail_queue_pair;
    mailboxes_[rail].key = theirs.mail_key;
    const Status opened =
        setup_.is_acceptor ? check_address(rail, theirs.address) : open_mailbox(rail);
    for (uint32_t i = 0; i < setup_.queue_pairs; ++i) {
      // Where letters find no way, queue pairs would only wait in vain for one.
      const bool joins_now = opened.ok() && !setup_.is_acceptor;
      by_lane.push_back(joins_now ? join_lane(static_cast<uint32_t>(by_lane.size())) : opened);
    }
  }
  const auto is_ok = [](const Status& status) { return status.ok(); };
  if (std::none_of(by_lane.begin(), by_lane.end(), is_ok)) return by_lane.front();
  state_ = State::live;
  for (const Lane& lane : lanes_) rails_[lane.rail]->counters().links_down.add(1);
  for (uint32_t i = 0; i < lanes_.size(); ++i) {
    if (!by_lane[i].ok()) {
      lanes_[i].failure = by_lane[i].message();
      restart(i, 1, by_lane[i].message());
    } else if (setup_.is_acceptor) {
      lanes_[i].awaits_way = true;
      ask_way(lanes_[i].rail, peer_.rails[lanes_[i].rail].address);
    } else {
      advance(i);
    }
  }
  return {};
}

Status VerbsLink::join_lane(uint32_t index) {
  Lane& lane = lanes_[index];
  const VerbsRailOffer& theirs = peer_.rails[lane.rail];
  PHUB_TRY(lane.queue->join(theirs.address, theirs.endpoints[index % setup_.queue_pairs],
                            target(lane.rail)));
  if (setup_.is_acceptor) lane.peer_phase = Phase::joined;  // Who answers has joined.
  return {};
}

void VerbsLink::lose(std::string reason) {
  if (state_ == State::lost) return;
  for (Lane& lane : lanes_) {
    if (state_ == State::live && lane.phase != Phase::up) {
      rails_[lane.rail]->counters().links_down.add(UINT64_MAX);
    }
    lane.queue->unmake();
  }
  state_ = State::lost;
  trouble_count_ = 0;
  lost_reason_ = std::move(reason);
}

bool VerbsLink::take_loss() {
  if (state_ != State::lost || is_loss_reported_) return false;
  return is_loss_reported_ = true;
}

void VerbsLink::revoke_keys() {
  for (Lane& lane : lanes_) lane.queue->revoke_window();
  for (auto& regions : slot_regions_) regions.clear();
}

std::unique_ptr<VerbsFarewell> VerbsLink::say_goodbye() {
  if (mailboxes_.empty()) return nullptr;
  std::vector<VerbsMail*> mails;
  for (VerbsRail* const rail : rails_) mails.push_back(&rail->mail());
  std::vector<VerbsWays::Ticket> tickets;
  for (Way& way : ways_) tickets.push_back(std::exchange(way.ticket, 0));
  auto farewell =
      std::make_unique<VerbsFarewell>(setup_.cookie, setup_.is_acceptor, std::move(mailboxes_),
                                      std::move(mails), std::move(tickets));
  mailboxes_.clear();
  farewell->say();
  return farewell;
}

uint32_t VerbsLink::lane_of(uint32_t slot) const {
  const uint32_t rail = slot < setup_.options.rails.size()
                            ? setup_.options.rails[slot] % static_cast<uint32_t>(rails_.size())
                            : 0;
  return rail * setup_.queue_pairs + slot % setup_.queue_pairs;
}

// The next lane that is up, on the same rail if there is one; the same one if none is.
uint32_t VerbsLink::way_round(uint32_t lane) const {
  const auto rail_count = static_cast<uint32_t>(rails_.size());
  const uint32_t width = setup_.queue_pairs;
  for (uint32_t i = 0; i < rail_count * width; ++i) {
    const uint32_t rail = (lane / width + i / width) % rail_count;
    const uint32_t other = rail * width + (lane + i) % width;
    if (lanes_[other].phase == Phase::up) return other;
  }
  return lane;
}

bool VerbsLink::stage(const Put& put) {
  if (state_ == State::lost) return true;
  PHUB_DCHECK(state_ == State::live && put.slot < peer_.slots.size() &&
              put.bytes <= peer_.slots[put.slot].bytes);
  const uint32_t own = lane_of(put.slot);
  Lane& lane = lanes_[is_in_trouble() ? way_round(own) : own];
  if (lane.queue->ring().is_full()) return false;
  lane.queue->ring().push({put.data, put.cookie, put.slot, put.tag, put.bytes, 0});
  lane.has_moved = true;
  if (lane.rail != lanes_[own].rail) rails_[lanes_[own].rail]->counters().detours.add(1);
  return true;
}

void VerbsLink::flush() {
  if (state_ != State::live) return;
  for (uint32_t i = 0; i < lanes_.size(); ++i) {
    if (lanes_[i].queue->ring().waiting() == 0) continue;
    lanes_[i].queue->flush();
    restart_if_refused(i);
  }
}

bool VerbsLink::has_report() const {
  return state_ == State::live && std::any_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) {
           return lane.queue->ring().done() > 0;
         });
}

size_t VerbsLink::report(std::span<Event> events) {
  size_t filled = 0;
  for (Lane& lane : lanes_) {
    VerbsPutRing& puts = lane.queue->ring();
    while (puts.done() > 0 && filled < events.size()) {
      events[filled++] = {
          .kind = EventKind::sent, .link = setup_.id, .cookie = puts.oldest_done().cookie};
      puts.pop_done();
      lane.has_worked = true;
    }
  }
  return filled;
}

bool VerbsLink::on_completion(uint32_t index, const ibv_wc& completion, Event* event) {
  Lane& lane = lanes_[index];
  if (state_ != State::live || lane.queue->is_stale(completion)) return false;
  if (completion.status != IBV_WC_SUCCESS) {
    lane.queue->on_error(completion);
    if (!lane.is_stopping) fail(index, completion);
    return false;
  }
  const VerbsArrival arrival = lane.queue->on_completion(completion);
  lane.has_moved = true;
  if (arrival.kind == VerbsArrival::Kind::none) return false;
  const std::vector<Slot>& slots = setup_.options.slots;
  if (arrival.kind == VerbsArrival::Kind::broken || arrival.slot >= slots.size() ||
      arrival.bytes > slots[arrival.slot].bytes) {
    lose(describe(
        std::string("the peer breaks the rules: it ") +
            (arrival.offence != nullptr ? arrival.offence : "put to a slot that it does not have"),
        scene(lane)));
    return false;
  }
  if (!lane.is_stopping) lane.peer_phase = std::max(lane.peer_phase, Phase::joined);
  rails_[lane.rail]->counters().bytes_received.add(arrival.bytes);
  rails_[lane.rail]->counters().puts_received.add(1);
  *event = {.kind = EventKind::arrived,
            .link = setup_.id,
            .tag = arrival.tag,
            .bytes = arrival.bytes,
            .data = slots[arrival.slot].data};
  return true;
}

void VerbsLink::after_batch(uint32_t index) {
  if (state_ != State::live) return;
  if (lanes_[index].is_stopping && lanes_[index].queue->is_drained()) return end_stop(index);
  if (lanes_[index].phase != Phase::up) advance(index);
  lanes_[index].queue->after_batch();
  restart_if_refused(index);
}

}  // namespace phub::transport
