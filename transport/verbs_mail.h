// The mail of a rail: one unreliable queue pair for the letters of all links. A letter may be lost;
// whoever writes repeats it until it is answered.
#pragma once

#include <array>
#include <memory>

#include "base/memory.h"
#include "transport/verbs_device.h"
#include "transport/verbs_letter.h"
#include "transport/verbs_library.h"
#include "transport/verbs_ways.h"

namespace phub::transport {

// The completions of mail carry this in the upper 16 bits of their wr_id.
constexpr uint16_t kVerbsMailNumber = 0xffff;

// A way to the peer's mail.
struct VerbsMailbox {
  VerbsPtr<ibv_ah> way;
  uint32_t queue_pair = 0;
  uint32_t key = 0;
};

class VerbsMail {
 public:
  static constexpr uint32_t kDepth = 32;  // Letters on their way, each direction.

  // unavailable: the device refuses; says what.
  static Result<std::unique_ptr<VerbsMail>> make(const VerbsDevice& device, ibv_cq* completions,
                                                 const config::RdmaOptions& options);

  uint32_t queue_pair() const { return queue_pair_->qp_num; }
  uint32_t key() const { return key_; }
  // unavailable: no way to that address; to find that out may take a second.
  Result<VerbsPtr<ibv_ah>> way_to(const VerbsAddress& address) const;
  // The same, answered by ways().
  VerbsWays::Ticket ask_way_to(const VerbsAddress& address);
  VerbsWays& ways() { return ways_; }

  // Drops it if too many are on their way.
  void send(const VerbsMailbox& to, const VerbsLetter& letter);
  // Starts again after an error, under the same number. A device that is down says no for a while.
  void mend();
  // A letter that has come in, if this completion is one and the letter is sound.
  std::optional<VerbsLetter> on_completion(const ibv_wc& completion);

 private:
  VerbsMail(const VerbsDevice& device, const config::RdmaOptions& options)
      : device_(device), options_(options) {}
  Status make_queue_pair(ibv_cq* completions);
  Status start();
  std::string seeking(const VerbsAddress& address) const;
  uint64_t id_of(uint64_t kind, uint32_t place) const;
  void post_receive(uint32_t place);

  static constexpr size_t kHeadBytes = 40;  // What the network puts in front.
  struct Memory {
    std::array<std::array<std::byte, 128>, kDepth> received;
    std::array<std::array<std::byte, 128>, kDepth> sent;
  };

  const VerbsDevice& device_;
  const config::RdmaOptions& options_;
  uint32_t key_ = 0;
  uint32_t sent_count_ = 0;
  uint32_t done_count_ = 0;
  uint16_t generation_ = 0;  // Of the completions that count.
  bool is_broken_ = false;
  base::Mapping pages_;  // Its own: see VerbsQueue.
  Memory* memory_ = nullptr;
  VerbsPtr<ibv_pd> pd_;
  VerbsPtr<ibv_mr> region_;
  VerbsPtr<ibv_qp> queue_pair_;
  VerbsWays ways_;
};

}  // namespace phub::transport
