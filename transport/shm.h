// The shm fabric: hub and workers on one machine, over memory that the workers own and the hub
// maps.
//
//   by_reference  a push moves 32 bytes; the hub reads the payload where the worker has it.
//   windows       the hub's results are plain stores into the worker's slots, then 16 bytes.
//
// Records and trust: shm_layout.h, shm_acceptor.h. Sleeping: shm_wake.h. Set-up: shm_bootstrap.h,
// shm_memory.h. release() is told to the peer with the caller's next put, poll or arm. want()
// counts arrivals only: who wants more than one is not woken by `sent` events either.
#pragma once

#include <memory>
#include <vector>

#include "transport/fabric.h"
#include "transport/shm_link.h"
#include "transport/shm_memory.h"

namespace phub::transport {

class ShmFabric final : public Fabric {
 public:
  // internal: the process is out of descriptors.
  static Result<std::unique_ptr<Fabric>> make();
  ~ShmFabric() override;

  std::string_view name() const override { return "shm"; }
  Traits traits() const override { return {.by_reference = true, .windows = true}; }

  Result<std::span<std::byte>> allocate(size_t bytes) override;
  Result<LinkId> open(const LinkOptions& options, Bootstrap* offer) override;
  Status accept(LinkId link, Bootstrap answer) override;
  Result<LinkId> connect(const LinkOptions& options, Bootstrap offer, Bootstrap* answer) override;
  void close(LinkId link) override;
  std::string lost_reason(LinkId link) const override;
  std::byte* window(LinkId link, uint32_t slot) override;

  size_t put(std::span<const Put> puts) override;
  size_t poll(Instant now, std::span<Event> events) override;
  void release(const Event& event) override;

  int fd() const override { return epoll_.get(); }
  bool arm() override;
  void disarm() override;
  void want(LinkId link, uint32_t count) override;

 private:
  explicit ShmFabric(base::Fd epoll) : epoll_(std::move(epoll)) {}

  ShmLink& at(LinkId link) const;
  LinkId free_id() const;
  LinkId keep(std::unique_ptr<ShmLink> link);
  Status activate(ShmLink& link);
  Status announce(const LinkOptions& options, std::vector<std::span<std::byte>>* regions,
                  Bootstrap* answer) const;
  void touch(ShmLink& link);
  void flush();
  void drain_wakes();

  base::Fd epoll_;  // Holds the socket of every active link; fd() is this.
  OwnMemory memory_;
  std::vector<std::unique_ptr<ShmLink>> links_;  // By LinkId; null if free.
  std::vector<ShmLink*> active_;                 // Links that are polled, dense.
  std::vector<ShmLink*> touched_;                // Links with something to publish.
  size_t cursor_ = 0;                            // Where the last poll ended in active_.
  uint32_t last_generation_ = 0;
};

}  // namespace phub::transport
