// The registered memory of one worker, and where each tensor's results land in it.
//
// Where a worker reaches its hubs by several fabrics, the memory is of the one that is hardest to
// please (by reference: its hub must see it) and registered with the others.
#pragma once

#include <phub/status.h>
#include <phub/types.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "transport/fabric.h"

namespace phub::client {

// Whether [a, a + a_bytes) and [b, b + b_bytes) share a byte.
bool overlaps(const void* a, size_t a_bytes, const void* b, size_t b_bytes);

// Thread-safety: none.
class Regions {
 public:
  // The fabrics outlive this. REQUIRES: at least one; at most one of them is by reference.
  explicit Regions(std::span<const std::unique_ptr<transport::Fabric>> fabrics);

  Result<std::span<std::byte>> allocate(size_t bytes);

  // Links made from now on know every region allocated so far.
  void publish() { known_count_ = regions_.size(); }
  // Whether the bytes lie in one region that the links know: the fabric may read them in place.
  bool is_known(const void* data, size_t bytes) const { return find(data, bytes, known_count_); }
  // Whether the bytes lie in one region, known or not yet.
  bool contains(const void* data, size_t bytes) const { return find(data, bytes, regions_.size()); }

 private:
  bool find(const void* data, size_t bytes, size_t region_count) const;

  transport::Fabric* owner_ = nullptr;
  std::vector<transport::Fabric*> others_;
  std::vector<std::span<std::byte>> regions_;  // In order of allocation.
  size_t known_count_ = 0;
};

// One tensor's registered memory.
struct Placement {
  std::byte* result = nullptr;   // Where results land.
  std::byte* staging = nullptr;  // Where a gradient from other memory is copied before it is put.
};

// What `tensors` had in the epoch before; empty at first.
struct Placements {
  std::vector<TensorSpec> tensors;
  std::vector<Placement> places;  // One per tensor.
  std::span<std::byte> staging;   // All staging areas.
};

// Memory for a new epoch. results[i] null: the memory of the tensor of the same name and size in
// `before`, else new. Staging: by reference a gradient is copied into its result's memory (the hub
// writes there only when it has read); otherwise a copy on the way may come late and overwrite it,
// so staging is apart.
// invalid_argument: a result is not in memory from allocate(), not aligned, or overlaps another.
Result<Placements> place_tensors(std::span<const TensorSpec> tensors,
                                 std::span<void* const> results, const Placements& before,
                                 bool by_reference, Regions* regions);

}  // namespace phub::client
