// Memory of the shm fabric: what a worker allocates so that a hub can map it, and the hub's
// mappings of it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/memory.h"

namespace phub::transport {

// Where something lies in a worker's memory, in numbers that another process understands.
struct RegionSpan {
  uint32_t region = 0;
  uint64_t offset = 0;
};

// A worker's own memory: few sealed memfds (regions), handed out from front to back.
//
// A region is much larger than a request (256 MiB, doubling), because every region costs a file
// descriptor on every link; pages are taken from the system only for what was asked.
class OwnMemory {
 public:
  // Zeroed, 64-byte aligned, every page present. resource_exhausted: says how much was asked.
  Result<std::span<std::byte>> allocate(size_t bytes);

  uint32_t region_count() const { return static_cast<uint32_t>(regions_.size()); }
  const base::Fd& fd(uint32_t region) const { return regions_[region].fd; }
  // The front of a region that has pages: what may be announced to a peer.
  std::span<std::byte> present(uint32_t region) const {
    return regions_[region].mapping.bytes().first(regions_[region].present_bytes);
  }

 private:
  struct Region {
    base::Fd fd;
    base::Mapping mapping;
    size_t used_bytes = 0;
    size_t present_bytes = 0;
  };
  Status add_region(size_t bytes);
  Status make_present(Region& region, size_t bytes);

  std::vector<Region> regions_;
};

// Finds [data, data + bytes) in `regions`; false if no region holds all of it.
bool find_region(std::span<const std::span<std::byte>> regions, const std::byte* data,
                 uint64_t bytes, RegionSpan* found);

// Maps `bytes` of a peer's memfd. A memfd that this process has mapped already (another shard's
// link to the same worker) is shared. Thread-safe.
// permission_denied: not a memfd, may shrink, smaller than `bytes`, or without pages (a worker pays
// for what it announces; sparse files could fill the hub's address space for nothing).
Result<std::shared_ptr<const base::Mapping>> map_peer_memory(int fd, uint64_t bytes);

// Takes the page faults of mapped memory now; best effort.
void prefault(std::span<std::byte> bytes);

}  // namespace phub::transport
