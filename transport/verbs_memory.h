// The memory that a verbs fabric knows, its registration with protection domains, and the ranges
// that a link's slots lie in.
//
// Sources of puts are registered once per device and domain that they are for, for reading by the
// own device only. Apart from that, and for remote writes only, an acceptor's slots are registered
// once per link: their key opens that link's slots and nothing else. A connector's peer is a hub,
// which it trusts with its results anyway: blocks with slots are registered once per device and
// domain for all its links, and the last of those to go takes the registration with it.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/memory.h"
#include "transport/fabric.h"
#include "transport/verbs_bootstrap.h"
#include "transport/verbs_library.h"

namespace phub::transport {

// Blocks of memory out of which puts may come, in the order of their addresses.
class VerbsMemory {
 public:
  static constexpr size_t kNone = SIZE_MAX;
  static constexpr uint64_t kAllDomains = UINT64_MAX;

  size_t count() const { return blocks_.size(); }
  std::span<std::byte> block(size_t place) const { return blocks_[place]; }
  bool is_for(size_t place, uint64_t domain) const {
    return domains_[place] == domain || domains_[place] == kAllDomains;
  }
  // Its place; those behind move up by one.
  size_t add(std::span<std::byte> block, uint64_t domain);
  size_t place_of(std::span<std::byte> block) const;
  void remove(size_t place);
  // The place of the block that holds all of these bytes; kNone if there is none.
  size_t find(const std::byte* data, size_t bytes) const {
    if (last_ < blocks_.size() && holds(blocks_[last_], data, bytes)) return last_;
    return search(data, bytes);
  }

 private:
  static bool holds(std::span<std::byte> block, const std::byte* data, size_t bytes) {
    return data >= block.data() && bytes <= block.size() &&
           data - block.data() <= static_cast<ptrdiff_t>(block.size() - bytes);
  }
  size_t search(const std::byte* data, size_t bytes) const;

  std::vector<std::span<std::byte>> blocks_;
  std::vector<uint64_t> domains_;  // As blocks_: for whose links.
  mutable size_t last_ = 0;        // Where the last search ended: the next is mostly for the same.
};

using VerbsRegion = std::shared_ptr<ibv_mr>;

// Of one job on one device, or of one link of it.
struct VerbsDomain {
  uint64_t id = 0;
  uint64_t job = 0;  // LinkOptions::domain
  uint32_t link_count = 0;
  VerbsPtr<ibv_pd> pd;
  // By the place of the block in VerbsMemory.
  std::vector<VerbsPtr<ibv_mr>> sources;        // Null: for others.
  std::vector<std::weak_ptr<ibv_mr>> landings;  // Where peers write; the links hold them.
};

// resource_exhausted: refused; the message says which limit to raise.
Result<VerbsPtr<ibv_mr>> register_source(ibv_pd* pd, std::span<std::byte> block);

// The slots of a link, and the ranges of memory that they lie in.
struct VerbsSlotArea {
  std::vector<std::span<std::byte>> ranges;
  std::vector<bool> is_shared;  // As ranges: a whole block, for all links of the domain.
  std::vector<VerbsSlot> slots;
};
// resource_exhausted: they are scattered over more than kVerbsRangesMax ranges.
Result<VerbsSlotArea> arrange_slots(std::span<const Slot> slots, const VerbsMemory& memory,
                                    bool shares_blocks);

// One window opens one range, and mlx5 refuses more than 2 GiB.
bool fits_window(std::span<const std::span<std::byte>> ranges);

// For writing by the peer; with `for_windows`, only through windows. What the key opens begins at
// address_in(range), so that the peer learns no pointers.
Result<VerbsPtr<ibv_mr>> register_range(ibv_pd* pd, std::span<std::byte> range, bool for_windows);
uint64_t address_in(std::span<std::byte> range);

}  // namespace phub::transport
