// The worker's end of a shm link: says where its payloads lie, and learns which slots the hub has
// filled.
#pragma once

#include <memory>
#include <vector>

#include "transport/shm_link.h"
#include "transport/shm_memory.h"

namespace phub::transport {

class ShmConnector final : public ShmLink {
 public:
  // regions: this worker's memory as the answer announces it.
  ShmConnector(LinkId id, uint32_t generation, LinkOptions options, base::Mapping memory,
               base::Fd socket, std::vector<std::span<std::byte>> regions);

  bool stage(const Put& put) override;
  void publish() override;
  void wake_peer() override;
  size_t poll(std::span<Event> events) override;
  void release(uint32_t index) override;
  void park() override;
  bool is_due() override;

 private:
  WakeLine& own_line() override { return rings_.header->connector; }
  WakeLine& peer_line() override { return rings_.header->acceptor; }
  void stage_closing() override;
  RegionSpan locate(const Put& put);
  size_t take_releases(std::span<Event> events);
  size_t take_replies(std::span<Event> events, uint64_t count);

  base::SpscProducer<PushRecord> pushes_;
  base::SpscConsumer<ReleaseRecord> releases_;
  base::SpscConsumer<ReplyRecord> replies_;

  // Unfinished puts by index: the ring has room for as many, so a free index is the credit.
  struct Unfinished {
    uint64_t cookie = 0;
    bool is_used = false;
  };
  std::vector<Unfinished> unfinished_;
  std::vector<uint32_t> free_indices_;

  std::vector<std::span<std::byte>> regions_;
  uint32_t last_region_ = 0;  // Where the last payload lay: the next is likely there too.
};

}  // namespace phub::transport
