// One end of a verbs link: its queue pairs on all rails, its slots, and how they are mended.
//
// A queue pair has incarnations. When one fails, either end stops its own, takes what has arrived
// out of the completion queue, makes the next one and writes a letter: "incarnation n: before it m
// puts arrived; here is the queue pair". The other end does the same. Who knows the other's m knows
// exactly which puts to send again. Both may begin at once, letters may be lost, doubled and
// overtaken: higher incarnations win, and letters repeat until answered.
//
//   waiting   the queue pair is made, the peer's is not known
//   joined    it knows the peer's; the peer may not know it
//   up        both know: puts go out
//
// A letter about a count may come by any rail; a queue pair is joined only by a letter that came by
// its own rail, which proves that the rail works. Meanwhile its puts take another rail. Silence for
// a minute with nothing else up loses the link, a broken rule at once.
//
// Nothing is allocated after set-up, except in repairs.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "transport/verbs_farewell.h"
#include "transport/verbs_queue.h"
#include "transport/verbs_text.h"

namespace phub::transport {

// Which of a fabric's links and lanes the numbers in completions mean.
struct VerbsPlace {
  class VerbsLink* link = nullptr;
  uint32_t lane = 0;
  uint16_t generation = 0;  // See VerbsQueue.
};

class VerbsLink {
 public:
  // numbers: gets the numbers of the link's queue pairs; null places in it are free.
  // rail_count, queue_pairs: of the acceptor. The rest as Fabric::open().
  struct Setup {
    LinkId id{0};
    LinkOptions options;
    bool is_acceptor = false;
    uint64_t cookie = 0;
    uint32_t rail_count = 1;
    uint32_t queue_pairs = 1;
  };
  static Result<std::unique_ptr<VerbsLink>> make(Setup setup, std::span<VerbsRail* const> rails,
                                                 const VerbsMemory& memory,
                                                 std::vector<VerbsPlace>& numbers);
  ~VerbsLink();
  VerbsLink(const VerbsLink&) = delete;
  VerbsLink& operator=(const VerbsLink&) = delete;

  VerbsBootstrap bootstrap() const;
  // invalid_argument: the peer's numbers do not fit; unavailable: no way to it. An acceptor, whose
  // thread is others' as well, does not wait for ways: without any the link is lost later.
  Status join(VerbsBootstrap peer);
  bool is_live() const { return state_ == State::live; }
  bool is_lost() const { return state_ == State::lost; }
  void lose(std::string reason);
  const std::string& lost_reason() const { return lost_reason_; }
  // Once: true after the loss.
  bool take_loss();
  bool has_loss() const { return is_lost() && !is_loss_reported_; }

  // False: full.
  bool stage(const Put& put);
  void flush();
  // `sent` events that are due. REQUIRES: live.
  size_t report(std::span<Event> events);
  bool has_report() const;

  // A completion of the lane's queue pair; true: `event` is an arrival.
  bool on_completion(uint32_t lane, const ibv_wc& completion, Event* event);
  void after_batch(uint32_t lane);
  // The completion queue of this rail was empty at its last take.
  void on_empty(const VerbsRail& rail);
  void on_letter(const VerbsLetter& letter);
  // The rail has answers about ways; perhaps one for this link.
  void take_ways(const VerbsRail& rail);
  // The port went down, or its addresses may be others.
  void on_port_down(const VerbsRail& rail);
  void on_port_change(const VerbsRail& rail, bool has_moved);
  // Nothing will ever be heard of the device again. The link goes on by others, or is lost.
  void on_device_lost(const VerbsRail& rail, const char* why);
  // A queue pair of ours in error, by the device's word: of its own, or by a broken rule.
  void on_queue_pair_lost(uint32_t queue_pair);
  void on_offence(uint32_t queue_pair, const char* offence);

  // What is due by `now`; when to come again.
  Instant run_timers(Instant now);
  // Once: something has happened for which run_timers() should come at once.
  bool take_hurry() { return std::exchange(is_hurried_, false); }
  bool is_in_trouble() const { return trouble_count_ > 0; }
  // What waits for a queue pair that is down goes by others.
  void make_detours();

  // The other end is told. What goes on telling it.
  std::unique_ptr<VerbsFarewell> say_goodbye();

  LinkId id() const { return setup_.id; }
  uint64_t cookie() const { return setup_.cookie; }
  const LinkOptions& options() const { return setup_.options; }
  bool is_acceptor() const { return setup_.is_acceptor; }
  // For tests of failures: as if the device had done it.
  void force_error(uint32_t lane) { lanes_[lane % lanes_.size()].queue->force_error(); }
  void revoke_keys();

 private:
  enum class State : uint8_t { opening, live, lost };
  using Phase = VerbsLetter::Phase;
  static constexpr uint32_t kRestartsPerSecond = 16;
  struct Lane {
    std::unique_ptr<VerbsQueue> queue;
    uint32_t rail = 0;  // Of the link.
    uint32_t incarnation = 0;
    Phase phase = Phase::waiting;
    Phase peer_phase = Phase::waiting;
    bool is_stopping = false;
    bool awaits_way = false;  // To join the queue pair by; `news` goes on then.
    bool is_settled = true;   // It is known what arrived of the incarnations before.
    bool has_worked = false;  // Something has arrived by it, or was answered.
    uint64_t stopped_at = 0;  // Takes of the rail's completions until then.
    Instant drained_by{0};    // 0: the clock has not been seen since it was stopped.
    bool is_overdue = false;  // The marker has not come by then.
    std::optional<VerbsLetter> news;
    std::string failure;
    uint32_t paths_tried = 0;
    int64_t pause_ns = 0;
    uint32_t restarts_left = kRestartsPerSecond;  // By the peer's letters.
    Instant restarts_at{0};                       // When there are more.
    int64_t rest_ns = 0;    // After a queue pair that could not be joined: it takes a second
    Instant rest_until{0};  // to find that out. max(): the clock has not been seen yet.
    Instant up_since{0};
    Instant letter_at{0};
    Instant broken_at{0};  // 0: the clock has not been seen yet.
    Instant quiet_since{0};
    bool has_moved = false;  // Since the last look at the clock.
  };

  explicit VerbsLink(Setup setup) : setup_(std::move(setup)) {}
  Status prepare(std::span<VerbsRail* const> rails, const VerbsMemory& memory,
                 std::vector<VerbsPlace>& numbers);
  Status prepare_rail(uint32_t rail, std::vector<VerbsPlace>& numbers);
  VerbsQueueShape shape() const;
  VerbsTarget target(uint32_t rail) const;
  bool uses_windows(uint32_t rail) const;
  uint32_t lane_of(uint32_t slot) const;
  uint32_t way_round(uint32_t lane) const;
  void advance(uint32_t lane);
  void apply(uint32_t lane, const VerbsLetter& letter);
  void restart(uint32_t lane, uint32_t incarnation, std::string why);
  void restart_if_refused(uint32_t lane);
  void end_stop(uint32_t lane);
  Instant check_drain(uint32_t lane, Instant now);
  void remake(uint32_t lane);
  void make_detour(uint32_t lane);
  bool has_way(uint32_t lane, const VerbsLetter& letter);
  void limit_joins(uint32_t lane, const Status& refusal);
  void refill(uint32_t lane, Instant now);
  void write(uint32_t lane, uint32_t path);
  void write_by_next_path(uint32_t lane);
  Status join_lane(uint32_t lane);
  void reopen_mailboxes(Instant now);
  Status check_address(uint32_t rail, const VerbsAddress& address) const;
  Status open_mailbox(uint32_t rail);
  void ask_way(uint32_t rail, const VerbsAddress& address);
  void on_way(uint32_t rail, VerbsWays::Answer answer);
  void forget_ways();
  VerbsScene scene(const Lane& lane) const;
  void fail(uint32_t lane, const ibv_wc& completion);
  void check_patience(uint32_t lane, Instant now);

  Setup setup_;
  State state_ = State::opening;
  bool is_loss_reported_ = false;
  std::string lost_reason_;
  VerbsSlotArea area_;
  VerbsBootstrap peer_;
  std::vector<Gid> peer_gids_;  // As the session named them: no letter can add one.
  // By rail of the link.
  std::vector<VerbsRail*> rails_;
  std::vector<VerbsDomain*> domains_;
  std::vector<std::vector<VerbsRegion>> slot_regions_;
  std::vector<VerbsMailbox> mailboxes_;
  struct Way {
    VerbsWays::Ticket ticket = 0;
    VerbsAddress address;   // That the ticket is for.
    bool is_fresh = false;  // The mailbox's: found since the last failure on the rail.
  };
  std::vector<Way> ways_;
  // When those to which no way was found are tried again; 0: the clock has not been seen yet.
  Instant mailboxes_at_{0};
  int64_t mailboxes_pause_ns_ = 0;
  std::vector<Lane> lanes_;  // rail * queue_pairs + number
  std::vector<VerbsPlace>* numbers_ = nullptr;
  uint32_t trouble_count_ = 0;  // Lanes that are not up.
  bool is_hurried_ = false;
};

}  // namespace phub::transport
