// One reliable queue pair of a link: its states, its puts, its receives and its credits.
//
// A put whose slot is in its tag is one RDMA write with immediate, the tag. Any other is a plain
// write and a send with immediate that carries {slot, bytes} in its 8 bytes.
//
//   Posting    What put() brings is linked and posted with one doorbell. One of
//              kSignalInterval work requests is signalled, and the last of every batch.
//   Receives   Of 8 bytes, posted ahead and posted again in batches.
//   Credits    A sender may have as many puts unanswered as the receiver has receives. The receiver
//              says, by a send without bytes and each time that a quarter of them is used up, how
//              many puts it has posted receives for again. kCreditReserve receives more are there
//              for those, so that no receive is ever missing.
//
//
// After an error a new queue pair is made: an incarnation. What arrived by the old one is counted,
// the peer is told (verbs_link.h), and the rest is posted again. All has been counted when the
// marker is out, a receive posted last, for devices give receives back in their order: a completion
// queue that is empty just now proves nothing, for a write may be acknowledged before its
// completion is there.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "transport/verbs_bootstrap.h"
#include "transport/verbs_memory.h"
#include "transport/verbs_put_ring.h"
#include "transport/verbs_rail.h"

namespace phub::transport {

struct VerbsQueueShape {
  uint32_t send_depth = 0;     // Puts of this side.
  uint32_t receive_depth = 0;  // Puts of the peer.
  uint32_t tag_slot_mask = 0;
};

// The peer's slots, as one of this side's queue pairs reaches them. Outlives the queue.
struct VerbsTarget {
  const std::vector<VerbsSlot>* slots = nullptr;
  const std::vector<uint32_t>* range_keys = nullptr;
  uint32_t receive_depth = 0;
};

// What a completion of this queue pair stands for.
struct VerbsArrival {
  enum class Kind : uint8_t { none, put, broken };
  Kind kind = Kind::none;
  uint32_t tag = 0;
  uint32_t slot = 0;
  uint32_t bytes = 0;
  const char* offence = nullptr;  // broken: by the peer's doing; what it did.
};

class VerbsQueue {
 public:
  static constexpr uint32_t kCreditReserve = 8;
  static constexpr uint32_t kSignalInterval = 16;
  static constexpr uint32_t kControlReserve = 24;  // Work requests kept for other than puts.

  // number: of this queue pair among the fabric's; below kVerbsMailNumber. generation: of the last
  // that had the number, so that completions left behind by that one are known for what they are.
  // windows_over: not null: what a memory window of this queue pair opens to the peer.
  VerbsQueue(VerbsRail& rail, VerbsDomain& domain, uint16_t number, uint16_t generation,
             const VerbsQueueShape& shape, ibv_mr* windows_over);
  ~VerbsQueue();
  VerbsQueue(const VerbsQueue&) = delete;
  VerbsQueue& operator=(const VerbsQueue&) = delete;

  // Completions that can be there at once, for the room of the completion queue.
  static uint32_t completions_max(const VerbsQueueShape& shape);

  // A new queue pair with its receives posted. resource_exhausted, unavailable.
  Status make();
  // Joins it to the peer's. unavailable: no way there. REQUIRES: made.
  Status join(const VerbsAddress& address, const VerbsEndpoint& peer, const VerbsTarget& target);
  bool is_joined() const { return is_joined_; }
  // The peer may put: the queue pair is joined, and what opens the slots to it is in place.
  bool is_ready() const { return is_joined_ && static_cast<int32_t>(completed_ - bound_at_) >= 0; }
  // Puts go out from now on.
  void open() { is_open_ = true; }
  bool is_open() const { return is_open_; }
  // Nothing more is sent or received. What has arrived is still in the completion queue, before
  // the marker.
  void stop();
  // The marker is out.
  bool is_drained() const { return is_drained_; }
  // A completion in error of this queue pair. REQUIRES: not stale.
  void on_error(const ibv_wc& completion);
  // For tests of failures.
  void force_error();
  void revoke_window() { window_.reset(); }
  // Forgets the queue pair. `arrived` is final from now on.
  void unmake();
  // The device refused a work request: a completion in error may never come. Ask after whatever may
  // post. True until unmake().
  bool has_failed() const { return has_failed_; }
  bool is_made() const { return queue_pair_ != nullptr; }
  VerbsEndpoint endpoint() const;
  uint16_t number() const { return number_; }
  uint16_t generation() const { return generation_; }
  VerbsRail& rail() const { return *rail_; }

  // How many puts have come by this queue pair, ever, modulo 2^32.
  uint32_t arrived() const { return arrived_; }
  // What the peer says of ours: those before are done, the rest waits to go again. False: that
  // cannot be.
  bool settle(uint32_t arrived_there);

  VerbsPutRing& ring() { return puts_; }
  const VerbsPutRing& ring() const { return puts_; }
  void flush();
  // A sign of life that needs no help of the peer's processor; fails if it is gone.
  void probe();
  bool is_stale(const ibv_wc& completion) const;
  // A completion that is not an error. REQUIRES: not stale.
  VerbsArrival on_completion(const ibv_wc& completion);
  // After a batch of completions: posts receives again, gives credit, sends what waits.
  void after_batch();

 private:
  struct Header {
    uint32_t slot = 0;
    uint32_t bytes = 0;
  };

  uint64_t id_of(uint64_t kind, uint32_t number) const;
  Status modify(ibv_qp_attr* attributes, int mask, const char* what);
  Status bind_window();
  void post_receives();
  void post_marker();
  void give_credit();
  bool may_signal(bool is_last);
  bool post_control(ibv_send_wr& request, bool is_signalled = false);
  uint32_t fill(VerbsPut& put, ibv_send_wr* requests, ibv_sge* pieces);
  uint32_t room() const { return send_room_ - (posted_ - completed_); }
  uint32_t key_of(const VerbsSlot& slot) const;
  VerbsArrival on_receive(const ibv_wc& completion);
  void on_sent(uint32_t number);

  VerbsRail* rail_;
  VerbsDomain* domain_;
  const uint16_t number_;
  const VerbsQueueShape shape_;
  ibv_mr* windows_over_;
  VerbsPutRing puts_;
  VerbsTarget target_;
  uint32_t peer_window_key_ = 0;

  // Those received, then those to send. Pages of their own: what is registered is kept from
  // children of this process on older kernels, a page at a time.
  base::Mapping header_pages_;
  Header* headers_ = nullptr;
  VerbsPtr<ibv_mr> headers_region_;
  VerbsPtr<ibv_qp> queue_pair_;
  VerbsPtr<ibv_mw> window_;
  uint32_t window_key_ = 0;
  uint32_t first_packet_ = 0;
  uint32_t inline_max_ = 0;
  uint16_t generation_;
  bool is_joined_ = false;
  bool is_open_ = false;
  bool is_drained_ = false;
  bool has_failed_ = false;

  const uint32_t receive_room_;
  const uint32_t send_room_;
  uint32_t posted_ = 0;     // Send work requests of this incarnation,
  uint32_t completed_ = 0;  // and those that are known to be over.
  uint32_t bound_at_ = 0;   // The one that binds the window.
  uint32_t since_signal_ = 0;
  uint32_t puts_posted_ = 0;    // Ever, without those that went again.
  uint32_t puts_credited_ = 0;  // Of those, the peer has receives posted again for so many.
  uint32_t receive_place_ = 0;  // Of the next receive to post.
  uint32_t header_place_ = 0;   // Of the next header to send.
  uint32_t receives_used_ = 0;  // To be posted again.
  uint32_t arrived_ = 0;
  uint32_t credit_given_ = 0;  // `arrived_` as the peer was told last.
};

}  // namespace phub::transport
