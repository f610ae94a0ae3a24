// The hub's end of a shm link: reads pushed payloads where they lie in the worker's memory, and
// writes results into the worker's slots.
//
// Everything that the worker wrote is checked before it is used: a wrong number costs the worker
// its link. Payload bytes may change while they are read; they are numbers to add, nothing else.
#pragma once

#include <memory>
#include <vector>

#include "transport/shm_bootstrap.h"
#include "transport/shm_link.h"

namespace phub::transport {

class ShmAcceptor final : public ShmLink {
 public:
  ShmAcceptor(LinkId id, uint32_t generation, LinkOptions options, base::Mapping memory,
              base::Fd socket);

  // Maps the worker's regions; live from then on. invalid_argument, permission_denied: the answer
  // is broken; the link is then of no use.
  Status accept(Bootstrap answer);

  bool stage(const Put& put) override;
  void publish() override;
  void wake_peer() override;
  size_t poll(std::span<Event> events) override;
  void release(uint32_t index) override;
  std::byte* window(uint32_t slot) override;
  void park() override;
  bool is_due() override;

 private:
  struct Window {
    std::byte* data = nullptr;  // Null if the slot has no bytes.
    uint32_t bytes = 0;
  };
  static_assert(kShmTableBytesPerSlot == sizeof(Slot) + sizeof(uint32_t) + sizeof(Window));

  WakeLine& own_line() override { return rings_.header->acceptor; }
  WakeLine& peer_line() override { return rings_.header->connector; }
  void stage_closing() override;
  bool has_reply_room();
  bool arrive(const PushRecord& push, Event* event);

  base::SpscConsumer<PushRecord> pushes_;
  base::SpscProducer<ReleaseRecord> releases_;
  base::SpscProducer<ReplyRecord> replies_;
  uint64_t reply_room_ = 0;    // Known room in replies_; looked up again when used up.
  uint64_t release_room_ = 0;  // The same for releases_.
  uint32_t unreleased_ = 0;    // Arrivals that the caller holds.

  // Cookies of copied puts, whose `sent` is due at the next poll. A ring.
  std::vector<uint64_t> sent_;
  uint64_t sent_tail_ = 0;
  uint64_t sent_head_ = 0;

  std::vector<std::shared_ptr<const base::Mapping>> mappings_;
  std::vector<std::span<const std::byte>> regions_;  // As long as was announced.
  std::vector<Window> windows_;
};

}  // namespace phub::transport
