// Memory that is not DPDK's and that packets may end in: made known to DPDK and mapped for the
// devices. Several wires of a process may name the same; the last to leave takes it back.
//
// Set-up only, but for holds(). One thread for each LentMemory.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

struct rte_device;

namespace phub::transport::dpdk {

class LentMemory {
 public:
  explicit LentMemory(std::vector<rte_device*> devices) : devices_(std::move(devices)) {}
  LentMemory(const LentMemory&) = delete;
  LentMemory& operator=(const LentMemory&) = delete;
  ~LentMemory();

  // What DPDK or a device refuses is left aside: packets copy it.
  void add(std::span<const std::byte> memory);
  void remove(std::span<const std::byte> memory);
  void forget() { regions_.clear(); }  // In a forked child: they stay the parent's.
  bool holds(std::span<const std::byte> piece) const;

 private:
  std::vector<rte_device*> devices_;
  std::vector<std::span<const std::byte>> regions_;  // By address.
};

}  // namespace phub::transport::dpdk
