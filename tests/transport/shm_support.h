// Helpers of the shm tests: a proper pair of fabrics, and a worker that writes what it likes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "transport/fabric.h"
#include "transport/shm_bootstrap.h"
#include "transport/shm_layout.h"

namespace phub::transport {

std::unique_ptr<Fabric> make_shm();

// Whether the descriptor is readable now, or becomes so within 10 s.
bool is_readable(int fd);
bool await_readable(int fd);

// One link between two fabrics of this process. Payloads: slot i of the worker's payload memory
// goes to slot i of the hub, and results come back to slot i of the worker's result memory.
struct ShmPair {
  static constexpr uint32_t kSlotBytes = 64;

  ShmPair(uint32_t slot_count, uint32_t puts_max);
  ShmPair(std::shared_ptr<Fabric> hub_fabric, std::shared_ptr<Fabric> worker_fabric,
          uint32_t slot_count, uint32_t puts_max);

  std::byte* payload(uint32_t slot) const { return payloads.data() + size_t{slot} * kSlotBytes; }
  std::byte* result(uint32_t slot) const { return results.data() + size_t{slot} * kSlotBytes; }
  Put push(uint32_t slot, uint32_t tag) const;   // The worker's, cookie = tag.
  Put reply(uint32_t slot, uint32_t tag) const;  // The hub's, out of the window.

  std::shared_ptr<Fabric> hub;
  std::shared_ptr<Fabric> worker;
  LinkId hub_link{0};
  LinkId worker_link{0};
  std::span<std::byte> payloads;
  std::span<std::byte> results;
};

// Polls once, at most 64 events.
std::vector<Event> poll_once(Fabric& fabric);

// A worker without a Fabric: it has the ring memory of its link, and may scribble over it.
class RawWorker {
 public:
  static constexpr uint32_t kSlotCount = 4;
  static constexpr uint32_t kSlotBytes = 256;
  static constexpr uint32_t kPutsMax = 6;
  static constexpr uint64_t kRegionBytes = 64 << 10;

  // Opens a link at `hub` and takes its offer.
  explicit RawWorker(Fabric& hub);
  static LinkOptions hub_options();

  // Answers as a correct worker would; expects the hub to accept.
  void join();
  // The correct answer, to be spoilt.
  ShmAnswer good_answer() const;
  Bootstrap bootstrap(const ShmAnswer& answer) const;
  // Writes a record into the pushes ring and shows it.
  void push(const PushRecord& record);
  static PushRecord good_push(uint32_t index);
  void hang_up() { offer_.fds[1] = base::Fd(); }

  LinkId link() const { return link_; }
  RingHeader& header() { return *rings_.header; }
  std::span<std::byte> ring_memory() const { return ring_memory_.bytes(); }
  base::Mapping map_rings_again() const;
  std::span<std::byte> region() const { return region_.bytes(); }

 private:
  Fabric& hub_;
  Bootstrap offer_;
  LinkId link_{0};
  base::Mapping ring_memory_;
  ShmRings rings_;
  base::Fd region_fd_;
  base::Mapping region_;
  uint64_t tail_ = 0;
};

}  // namespace phub::transport
