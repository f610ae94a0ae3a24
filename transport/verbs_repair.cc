// How the queue pairs of a link come up and are mended: verbs_link.h says by which rules.
#include <algorithm>

#include "transport/verbs_link.h"
#include "transport/verbs_path.h"

namespace phub::transport {
namespace {

constexpr int64_t kFirstPauseNs = 10'000'000;
constexpr int64_t kLastPauseNs = 500'000'000;
// A port takes up to 40 s to come back (training of the link, spanning tree, a subnet manager).
// That a peer is dead its session says, within peer_timeout.
constexpr int64_t kRepairPatienceNs = 60'000'000'000;
constexpr int64_t kConnectPatienceNs = 20'000'000'000;
constexpr int64_t kProbeNs = 1'000'000'000;
constexpr int64_t kDrainPatienceNs = 100'000'000;
constexpr int64_t kFirstRestNs = 500'000'000;
constexpr int64_t kLastRestNs = 30'000'000'000;
constexpr int64_t kRestForgottenNs = 60'000'000'000;
constexpr int64_t kFirstMailboxNs = 5'000'000'000;
constexpr int64_t kLastMailboxNs = 300'000'000'000;

}  // namespace

VerbsScene VerbsLink::scene(const Lane& lane) const {
  VerbsScene scene;
  scene.peer = setup_.options.peer;
  scene.device = rails_[lane.rail]->device().name;
  scene.from = to_text(rails_[lane.rail]->device().gid.entry.gid);
  if (lane.rail < peer_.rails.size()) scene.to = to_text(peer_.rails[lane.rail].address.gid);
  scene.has_worked = lane.has_worked;
  scene.has_put = lane.queue->ring().flying() > 0;
  if (scene.has_put) {
    scene.slot = lane.queue->ring().oldest_flying().slot;
    scene.tag = lane.queue->ring().oldest_flying().tag;
  }
  return scene;
}

void VerbsLink::fail(uint32_t index, const ibv_wc& completion) {
  std::string why = describe(completion.status, completion.vendor_err, scene(lanes_[index]));
  if (!is_recoverable(completion.status)) return lose(std::move(why));
  restart(index, lanes_[index].incarnation + 1, std::move(why));
}

// Stops the queue pair; end_stop() goes on once all that had arrived by it is taken.
void VerbsLink::restart(uint32_t index, uint32_t incarnation, std::string why) {
  Lane& lane = lanes_[index];
  VerbsRail& rail = *rails_[lane.rail];
  if (lane.phase == Phase::up) {
    ++trouble_count_;
    rail.counters().links_down.add(1);
    rail.counters().failures.add(1);
    lane.failure = std::move(why);
    lane.broken_at = {0};
  }
  is_hurried_ = true;
  lane.incarnation = incarnation;
  lane.phase = lane.peer_phase = Phase::waiting;
  lane.awaits_way = false;
  ways_[lane.rail].is_fresh = false;
  lane.is_settled = false;
  lane.letter_at = {0};
  lane.pause_ns = kFirstPauseNs;
  if (lane.is_stopping) return;
  lane.is_stopping = true;
  lane.is_overdue = false;
  lane.drained_by = {0};
  lane.stopped_at = rail.take_count();
  lane.queue->stop();
}

// No completion in error may ever come of what the device did not take.
void VerbsLink::restart_if_refused(uint32_t index) {
  Lane& lane = lanes_[index];
  if (!lane.queue->has_failed() || lane.is_stopping) return;
  restart(index, lane.incarnation + 1, describe("the device refuses work", scene(lane)));
}

void VerbsLink::on_empty(const VerbsRail& rail) {
  if (state_ != State::live || trouble_count_ == 0) return;
  for (uint32_t i = 0; i < lanes_.size() && state_ == State::live; ++i) {
    Lane& lane = lanes_[i];
    if (!lane.is_stopping || !lane.is_overdue || rails_[lane.rail] != &rail) continue;
    if (rail.take_count() > lane.stopped_at) end_stop(i);
  }
}

void VerbsLink::end_stop(uint32_t index) {
  Lane& lane = lanes_[index];
  lane.is_stopping = false;
  lane.queue->unmake();
  remake(index);
}

// There are drivers that give receives back without a word. Then what was there when the completion
// queue was empty, or as many as it holds had been taken, is all. When to come again.
Instant VerbsLink::check_drain(uint32_t index, Instant now) {
  Lane& lane = lanes_[index];
  if (lane.drained_by.ns == 0) lane.drained_by = {now.ns + kDrainPatienceNs};
  const VerbsRail& rail = *rails_[lane.rail];
  lane.is_overdue = now >= lane.drained_by;
  const bool has_taken_all = rail.take_count() - lane.stopped_at > rail.takes_of_all();
  if (lane.queue->is_drained() || (lane.is_overdue && has_taken_all)) {
    end_stop(index);
  } else if (!lane.is_overdue) {
    return lane.drained_by;
  }
  return lane.is_stopping ? Instant{now.ns + kFirstPauseNs} : lane.letter_at;
}

void VerbsLink::remake(uint32_t index) {
  Lane& lane = lanes_[index];
  VerbsRail& rail = *rails_[lane.rail];
  (void)rail.refresh_if_changed();
  // The timer tries again.
  if (!rail.is_dead() && !lane.queue->make().ok()) lane.queue->unmake();
  if (lane.news.has_value() && lane.news->incarnation == lane.incarnation) {
    const VerbsLetter news = *lane.news;
    lane.news.reset();
    return apply(index, news);
  }
  write_by_next_path(index);
}

void VerbsLink::on_letter(const VerbsLetter& letter) {
  if (state_ != State::live || letter.is_from_acceptor == setup_.is_acceptor) return;
  if (letter.kind == VerbsLetter::Kind::goodbye) {
    return lose(describe("the peer has closed the link", scene(lanes_[0])));
  }
  if (letter.queue >= lanes_.size() || letter.path >= rails_.size()) return;
  Lane& lane = lanes_[letter.queue];
  const auto ahead = static_cast<int32_t>(letter.incarnation - lane.incarnation);
  if (ahead < 0) return write(letter.queue, letter.path);  // So that it learns.
  if (ahead > 0) {
    if (lane.restarts_left == 0) return;  // It writes again.
    --lane.restarts_left;
    restart(letter.queue, letter.incarnation, "the peer had an error");
  }
  if (lane.is_stopping) {
    const bool is_own_path = letter.path == lane.rail;
    if (is_own_path || !lane.news.has_value() || lane.news->incarnation != letter.incarnation) {
      lane.news = letter;
    }
    return;
  }
  apply(letter.queue, letter);
}

// The kernel waits a second for an answer of an address that nobody has. So it must be one that the
// session named, and the way there is found on another thread; after that, joining takes no time.
bool VerbsLink::has_way(uint32_t index, const VerbsLetter& letter) {
  Lane& lane = lanes_[index];
  const VerbsAddress& known = peer_.rails[lane.rail].address;
  if (letter.address == known && ways_[lane.rail].is_fresh) return true;
  if (std::find(peer_gids_.begin(), peer_gids_.end(), letter.address.gid) == peer_gids_.end()) {
    lane.failure = "the peer is now at " + to_text(letter.address.gid) +
                   ", which it had not said when the link was made";
    return false;
  }
  if (const Status fits = check_address(lane.rail, letter.address); !fits.ok()) {
    limit_joins(index, fits);
    return false;
  }
  lane.news = letter;
  lane.awaits_way = true;
  ask_way(lane.rail, letter.address);
  return false;
}

void VerbsLink::ask_way(uint32_t rail, const VerbsAddress& address) {
  Way& way = ways_[rail];
  if (way.ticket != 0 && way.address == address) return;
  VerbsMail& mail = rails_[rail]->mail();
  if (way.ticket != 0) mail.ways().forget(way.ticket);
  way.ticket = mail.ask_way_to(address);
  way.address = address;
}

void VerbsLink::forget_ways() {
  for (uint32_t rail = 0; rail < ways_.size(); ++rail) {
    if (ways_[rail].ticket != 0) rails_[rail]->mail().ways().forget(ways_[rail].ticket);
    ways_[rail].ticket = 0;
  }
}

void VerbsLink::take_ways(const VerbsRail& rail) {
  for (uint32_t i = 0; i < ways_.size(); ++i) {
    if (rails_[i] != &rail || ways_[i].ticket == 0) continue;
    if (auto answer = rails_[i]->mail().ways().take(ways_[i].ticket)) {
      on_way(i, std::move(*answer));
    }
  }
}

void VerbsLink::on_way(uint32_t rail, VerbsWays::Answer answer) {
  Way& way = ways_[rail];
  way.ticket = 0;
  way.is_fresh = answer.way != nullptr;
  if (way.is_fresh) {
    mailboxes_[rail].way = std::move(answer.way);
    peer_.rails[rail].address = way.address;
  }
  const Status found = way.is_fresh ? Status() : Status(Code::unavailable, answer.failure);
  for (uint32_t i = 0; i < lanes_.size() && state_ == State::live; ++i) {
    Lane& lane = lanes_[i];
    if (lane.rail != rail || !std::exchange(lane.awaits_way, false)) continue;
    const bool is_first = lane.incarnation == 0;
    const Status joined = found.ok() && is_first ? join_lane(i) : found;
    if (!joined.ok()) {
      limit_joins(i, joined);
      restart(i, lane.incarnation + 1, joined.message());
    } else if (is_first) {
      advance(i);
    } else if (lane.news.has_value() && lane.news->incarnation == lane.incarnation) {
      const VerbsLetter news = *lane.news;
      lane.news.reset();
      apply(i, news);
    }
  }
}

void VerbsLink::limit_joins(uint32_t index, const Status& refusal) {
  Lane& lane = lanes_[index];
  lane.failure = refusal.message();
  lane.rest_ns = std::clamp(2 * lane.rest_ns, kFirstRestNs, kLastRestNs);
  lane.rest_until = {INT64_MAX};
  is_hurried_ = true;
}

// What has been used up of restarts and joins comes back with time.
void VerbsLink::refill(uint32_t index, Instant now) {
  Lane& lane = lanes_[index];
  if (now >= lane.restarts_at) {
    lane.restarts_left = kRestartsPerSecond;
    lane.restarts_at = {now.ns + 1'000'000'000};
  }
  if (lane.rest_until.ns == INT64_MAX) lane.rest_until = {now.ns + lane.rest_ns};
  if (now >= lane.rest_until) lane.rest_until = {0};
  if (lane.phase != Phase::up) lane.up_since = now;
  if (now.ns - lane.up_since.ns >= kRestForgottenNs) lane.rest_ns = 0;
}

// To those to which join() found no way.
void VerbsLink::reopen_mailboxes(Instant now) {
  if (mailboxes_at_.ns == 0) mailboxes_at_ = {now.ns + kFirstMailboxNs};
  if (now < mailboxes_at_) return;
  mailboxes_pause_ns_ = std::clamp(2 * mailboxes_pause_ns_, kFirstMailboxNs, kLastMailboxNs);
  for (uint32_t rail = 0; rail < rails_.size(); ++rail) {
    if (mailboxes_[rail].way != nullptr) continue;
    ask_way(rail, peer_.rails[rail].address);
  }
  mailboxes_at_ = {now.ns + mailboxes_pause_ns_};
}

// REQUIRES: the letter is about this incarnation; the ones before are stopped.
void VerbsLink::apply(uint32_t index, const VerbsLetter& letter) {
  Lane& lane = lanes_[index];
  const bool was_settled = lane.is_settled;
  if (!lane.is_settled) {
    if (!lane.queue->settle(letter.arrived)) {
      return lose(
          describe("puts that the device had reported as delivered never arrived; " + lane.failure,
                   scene(lane)));
    }
    lane.is_settled = true;
  }
  const bool is_own_path = letter.path == lane.rail;
  // Two that cannot join yet and answered each other's every letter would never stop.
  const bool must_wait = lane.rest_until.ns != 0 || lane.awaits_way || !lane.queue->is_made();
  if (is_own_path && must_wait) return;
  if (is_own_path && !lane.queue->is_joined() && letter.endpoint.queue_pair != 0) {
    if (!has_way(index, letter)) return;
    const Status joined = lane.queue->join(letter.address, letter.endpoint, target(lane.rail));
    if (!joined.ok()) {
      limit_joins(index, joined);
      return restart(index, lane.incarnation + 1, joined.message());
    }
  }
  if (is_own_path) lane.peer_phase = std::max(lane.peer_phase, letter.phase);
  advance(index);
  // By another rail only news are answered: nothing said there ends the trouble, and two that
  // answered each other's every letter would never stop. What is lost the timers say again.
  if (letter.phase != Phase::up && (is_own_path || !was_settled)) write(index, letter.path);
}

void VerbsLink::advance(uint32_t index) {
  Lane& lane = lanes_[index];
  if (lane.is_stopping) return;
  if (lane.phase == Phase::waiting && lane.queue->is_ready()) lane.phase = Phase::joined;
  if (lane.phase == Phase::joined && lane.peer_phase >= Phase::joined) {
    lane.phase = Phase::up;
    --trouble_count_;
    rails_[lane.rail]->counters().links_down.add(UINT64_MAX);
    if (lane.incarnation > 0) rails_[lane.rail]->counters().repairs.add(1);
    write(index, lane.rail);
    lane.queue->open();
    lane.queue->flush();
    restart_if_refused(index);
  }
}

void VerbsLink::write(uint32_t index, uint32_t path) {
  const Lane& lane = lanes_[index];
  if (lane.is_stopping || path >= mailboxes_.size()) return;
  VerbsLetter letter;
  letter.is_from_acceptor = setup_.is_acceptor;
  letter.path = static_cast<uint8_t>(path);
  letter.phase = lane.phase;
  letter.queue = static_cast<uint16_t>(index);
  letter.cookie = setup_.cookie;
  letter.incarnation = lane.incarnation;
  letter.arrived = lane.queue->arrived();
  letter.endpoint = lane.queue->endpoint();
  letter.address = address_of(rails_[lane.rail]->device());
  rails_[path]->mail().send(mailboxes_[path], letter);
}

// Its own rail every second time: only that can bring it up.
void VerbsLink::write_by_next_path(uint32_t index) {
  Lane& lane = lanes_[index];
  const uint32_t turn = lane.paths_tried++;
  const auto count = static_cast<uint32_t>(rails_.size());
  write(index,
        turn % 2 == 0 || count == 1 ? lane.rail : (lane.rail + 1 + turn / 2 % (count - 1)) % count);
}

void VerbsLink::make_detour(uint32_t index) {
  Lane& lane = lanes_[index];
  VerbsPutRing& from = lane.queue->ring();
  if (!lane.is_settled || lane.is_stopping || from.done() + from.flying() > 0) return;
  const uint32_t way = way_round(index);
  if (way == index) return;
  VerbsPutRing& to = lanes_[way].queue->ring();
  while (from.waiting() > 0 && !to.is_full()) {
    to.push(from.take_waiting());
    rails_[lane.rail]->counters().detours.add(1);
  }
  lanes_[way].queue->flush();
  restart_if_refused(way);
}

void VerbsLink::make_detours() {
  for (uint32_t i = 0; i < lanes_.size(); ++i) {
    if (lanes_[i].phase != Phase::up && lanes_[i].queue->ring().waiting() > 0) make_detour(i);
  }
}

void VerbsLink::check_patience(uint32_t index, Instant now) {
  Lane& lane = lanes_[index];
  if (lane.broken_at.ns == 0) lane.broken_at = now;
  const bool is_new = lane.incarnation == 0;
  const int64_t patience = is_new ? kConnectPatienceNs : kRepairPatienceNs;
  if (now.ns - lane.broken_at.ns < patience) return;
  if (lane.is_settled && !lane.is_stopping && way_round(index) != index) return;
  lose(describe(
      is_new ? "the peer has not joined within 20 s; see that both ends are in one network "
               "(ping from address to address)"
             : "no word from the peer for 60 s; it is gone, or no way leads to it; before: " +
                   lane.failure,
      scene(lane)));
}

Instant VerbsLink::run_timers(Instant now) {
  if (state_ != State::live) return {INT64_MAX};
  Instant next{INT64_MAX};
  for (uint32_t i = 0; i < lanes_.size() && state_ == State::live; ++i) {
    Lane& lane = lanes_[i];
    refill(i, now);
    if (lane.phase == Phase::up) {
      if (lane.has_moved || lane.quiet_since.ns == 0) lane.quiet_since = now;
      lane.has_moved = false;
      if (now.ns - lane.quiet_since.ns >= kProbeNs) {
        lane.queue->probe();
        lane.quiet_since = now;
        restart_if_refused(i);
      }
      next = std::min(next, {lane.quiet_since.ns + kProbeNs});
      continue;
    }
    check_patience(i, now);
    reopen_mailboxes(now);
    if (lane.is_stopping) {
      next = std::min(next, check_drain(i, now));
      continue;
    }
    if (now >= lane.letter_at) {
      if (!lane.queue->is_made() && lane.incarnation > 0) remake(i);
      write_by_next_path(i);
      lane.pause_ns = std::clamp(2 * lane.pause_ns, kFirstPauseNs, kLastPauseNs);
      lane.letter_at = {now.ns + lane.pause_ns};
    }
    next = std::min(next, lane.letter_at);
  }
  return next;
}

void VerbsLink::on_port_down(const VerbsRail& rail) {
  if (state_ != State::live) return;
  for (uint32_t i = 0; i < lanes_.size(); ++i) {
    if (rails_[lanes_[i].rail] != &rail || lanes_[i].phase != Phase::up) continue;
    restart(i, lanes_[i].incarnation + 1, describe("the port went down", scene(lanes_[i])));
  }
}

// Ways are kept unless the own address has moved: finding one takes long on a port that has only
// just come up.
void VerbsLink::on_port_change(const VerbsRail& rail, bool has_moved) {
  if (state_ != State::live) return;
  for (uint32_t i = 0; i < rails_.size(); ++i) {
    if (rails_[i] == &rail && (has_moved || mailboxes_[i].way == nullptr)) {
      ask_way(i, peer_.rails[i].address);
    }
  }
  for (Lane& lane : lanes_) lane.letter_at = {0};
}

// No marker will come: what was taken until now is what arrived.
void VerbsLink::on_device_lost(const VerbsRail& rail, const char* why) {
  if (state_ != State::live) return;
  const bool is_last = std::all_of(rails_.begin(), rails_.end(),
                                   [](const VerbsRail* one) { return one->is_dead(); });
  for (uint32_t i = 0; i < lanes_.size() && state_ == State::live; ++i) {
    if (rails_[lanes_[i].rail] != &rail) continue;
    std::string reason = describe(why, scene(lanes_[i]));
    if (is_last) return lose(std::move(reason));
    restart(i, lanes_[i].incarnation + 1, std::move(reason));
    end_stop(i);
  }
}

void VerbsLink::on_queue_pair_lost(uint32_t queue_pair) {
  for (uint32_t i = 0; i < lanes_.size(); ++i) {
    const Lane& lane = lanes_[i];
    if (lane.queue->endpoint().queue_pair != queue_pair || lane.is_stopping) continue;
    restart(i, lane.incarnation + 1, describe("the device gave up the queue pair", scene(lane)));
  }
}

void VerbsLink::on_offence(uint32_t queue_pair, const char* offence) {
  for (const Lane& lane : lanes_) {
    if (lane.queue->endpoint().queue_pair != queue_pair) continue;
    return lose(describe(std::string("the peer breaks the rules: it ") + offence, scene(lane)));
  }
}

}  // namespace phub::transport
