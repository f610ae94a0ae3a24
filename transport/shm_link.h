// What the two ends of a shm link have in common: the ring memory, the socket that wakes, and why
// the link is lost. The ends themselves are shm_acceptor.h and shm_connector.h.
#pragma once

#include <cstdint>
#include <string>

#include "transport/shm_layout.h"

namespace phub::transport {

enum class ShmLoss : uint8_t {
  none,
  peer_closed,
  peer_gone,
  corrupt_ring,      // An index of a ring makes no sense.
  too_many_puts,     // More unfinished puts than were agreed.
  wrong_slot,        // detail: the slot, the number of slots.
  too_long,          // detail: bytes, the slot's bytes.
  outside_memory,    // detail: region, offset.
  unknown_release,   // detail: index.
  window_too_small,  // detail: bytes, the window's bytes.
};

class alignas(base::kCacheLineBytes) ShmLink {
 protected:
  // First, so that they share a cache line: what is_quiet() looks at.
  const std::atomic<uint64_t>* tails_[2] = {nullptr, nullptr};  // Of the rings consumed here.
  uint64_t taken_[2] = {0, 0};                                  // Their heads.
  // poll() has something to do beside the rings; until it has found nothing.
  bool is_restless_ = false;

 public:
  // The ring memory must have ShmRings::bytes(options).
  ShmLink(LinkId id, uint32_t generation, LinkOptions options, base::Mapping memory,
          base::Fd socket);
  ShmLink(const ShmLink&) = delete;
  ShmLink& operator=(const ShmLink&) = delete;
  virtual ~ShmLink() = default;

  // Moving. stage() writes a put's record, false if full; publish() shows the staged records and
  // releases to the peer; wake_peer() must follow after a full fence.
  virtual bool stage(const Put& put) = 0;
  virtual void publish() = 0;
  virtual void wake_peer() = 0;
  // REQUIRES: !events.empty().
  virtual size_t poll(std::span<Event> events) = 0;
  // poll() would find nothing. Cheap: one cache line here, one for each ring.
  bool is_quiet() const {
    return !is_restless_ && tails_[0]->load(std::memory_order_relaxed) == taken_[0] &&
           tails_[1]->load(std::memory_order_relaxed) == taken_[1];
  }
  virtual void release(uint32_t index) = 0;
  virtual std::byte* window(uint32_t /*slot*/) { return nullptr; }

  // Idling, in the order of shm_wake.h. is_due(): there is something to poll, so do not sleep.
  virtual void park() = 0;
  virtual bool is_due() = 0;
  void unpark() { transport::unpark(own_line()); }
  void want(uint32_t count) { wanted_ = count == 0 ? 1 : count; }

  // Tells the peer that nothing more will come.
  void say_goodbye();
  // The socket's other end is gone: after what lies in the rings, the link is lost.
  void on_hang_up() { is_hung_up_ = is_restless_ = true; }

  LinkId id() const { return id_; }
  uint32_t generation() const { return generation_; }
  int socket() const { return socket_.get(); }
  bool is_live() const { return is_live_; }
  bool is_touched = false;  // The fabric's mark: has something to publish.
  std::string lost_reason() const;

 protected:
  virtual WakeLine& own_line() = 0;
  virtual WakeLine& peer_line() = 0;
  virtual void stage_closing() = 0;

  void set_live() { is_live_ = true; }
  void lose(ShmLoss why, uint64_t detail = 0, uint64_t bound = 0);
  bool is_lost() const { return loss_ != ShmLoss::none; }
  bool has_loss_to_report() const { return is_lost() && !is_loss_reported_; }
  // Appends the `lost` event, once, if there is room. Returns events in all.
  size_t report_loss(std::span<Event> events, size_t filled);
  // With empty rings: the link is over if the peer has closed it or is gone.
  void end_if_peer_left();
  // The rest of is_due() when the rings hold nothing that is wanted.
  bool is_due_without_records();
  void send_wake() const;

  uint64_t event_cookie(uint32_t index) const { return uint64_t{generation_} << 32 | index; }

  const LinkOptions options_;
  const base::Mapping memory_;
  const ShmRings rings_;
  uint32_t wanted_ = 1;

 private:
  const LinkId id_;
  const uint32_t generation_;
  const base::Fd socket_;
  bool is_live_ = false;
  bool is_hung_up_ = false;
  bool is_peer_closed_ = false;
  bool is_loss_reported_ = false;
  ShmLoss loss_ = ShmLoss::none;
  uint64_t loss_detail_ = 0;
  uint64_t loss_bound_ = 0;
};

}  // namespace phub::transport
