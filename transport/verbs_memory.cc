#include "transport/verbs_memory.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <string>

#include "base/check.h"

namespace phub::transport {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr uint64_t kHugePageBytes = uint64_t{2} << 20;
constexpr size_t kWindowBytesMax = size_t{1} << 31;

std::string limit_text() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return "";
  return "; this process may lock " + std::to_string(limit.rlim_cur >> 10) +
         " KiB: raise it (ulimit -l unlimited, or LimitMEMLOCK=infinity in its unit)";
}

Result<VerbsPtr<ibv_mr>> register_at(ibv_pd* pd, std::span<std::byte> memory, uint64_t address,
                                     uint32_t access) {
  ibv_mr* region = nullptr;
  if (verbs().reg_mr_iova2 != nullptr) {
    region = verbs().reg_mr_iova2(pd, memory.data(), memory.size(), address,
                                  access | IBV_ACCESS_RELAXED_ORDERING);
  } else {
    region =
        verbs().reg_mr_iova(pd, memory.data(), memory.size(), address, static_cast<int>(access));
  }
  if (region != nullptr) return VerbsPtr<ibv_mr>(region);
  const std::string why = base::errno_text();
  const bool is_limit = errno == ENOMEM || errno == EPERM;
  return Status(Code::resource_exhausted, "register " + std::to_string(memory.size()) +
                                              " bytes with the RDMA device: " + why +
                                              (is_limit ? limit_text() : ""));
}

}  // namespace

size_t VerbsMemory::add(std::span<std::byte> block, uint64_t domain) {
  const auto place = std::find_if(blocks_.begin(), blocks_.end(), [&](std::span<std::byte> other) {
    return other.data() > block.data();
  });
  const auto index = place - blocks_.begin();
  blocks_.insert(place, block);
  domains_.insert(domains_.begin() + index, domain);
  return static_cast<size_t>(index);
}

size_t VerbsMemory::place_of(std::span<std::byte> block) const {
  const auto place = std::find_if(blocks_.begin(), blocks_.end(), [&](std::span<std::byte> other) {
    return other.data() == block.data() && other.size() == block.size();
  });
  return place == blocks_.end() ? kNone : static_cast<size_t>(place - blocks_.begin());
}

void VerbsMemory::remove(size_t place) {
  blocks_.erase(blocks_.begin() + static_cast<ptrdiff_t>(place));
  domains_.erase(domains_.begin() + static_cast<ptrdiff_t>(place));
}

size_t VerbsMemory::search(const std::byte* data, size_t bytes) const {
  const auto after = std::upper_bound(
      blocks_.begin(), blocks_.end(), data,
      [](const std::byte* wanted, std::span<std::byte> block) { return wanted < block.data(); });
  if (after == blocks_.begin() || !holds(*(after - 1), data, bytes)) return kNone;
  return last_ = static_cast<size_t>(after - blocks_.begin()) - 1;
}

Result<VerbsPtr<ibv_mr>> register_source(ibv_pd* pd, std::span<std::byte> block) {
  return register_at(pd, block, reinterpret_cast<uint64_t>(block.data()), 0);
}

// The same offset in a huge page as the memory itself, as devices want it.
uint64_t address_in(std::span<std::byte> range) {
  return reinterpret_cast<uint64_t>(range.data()) % kHugePageBytes;
}

bool fits_window(std::span<const std::span<std::byte>> ranges) {
  return ranges.size() == 1 && ranges.front().size() <= kWindowBytesMax;
}

Result<VerbsPtr<ibv_mr>> register_range(ibv_pd* pd, std::span<std::byte> range, bool for_windows) {
  const uint32_t access =
      IBV_ACCESS_LOCAL_WRITE | (for_windows ? IBV_ACCESS_MW_BIND : IBV_ACCESS_REMOTE_WRITE);
  return register_at(pd, range, address_in(range), access);
}

Result<VerbsSlotArea> arrange_slots(std::span<const Slot> slots, const VerbsMemory& memory,
                                    bool shares_blocks) {
  VerbsSlotArea area;
  area.slots.resize(slots.size());
  std::vector<uint32_t> order(slots.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return slots[a].data < slots[b].data; });
  size_t block = VerbsMemory::kNone;  // That the last range lies in.
  for (const uint32_t i : order) {
    const Slot& slot = slots[i];
    if (slot.bytes == 0) continue;  // Only tags arrive there.
    PHUB_CHECK(slot.data != nullptr);
    const size_t its_block = memory.find(slot.data, slot.bytes);
    const bool is_shared = shares_blocks && its_block != VerbsMemory::kNone;
    bool is_joined = false;
    if (!area.ranges.empty() && area.is_shared.back() == is_shared) {
      // What lies between must be mapped, too: the same block, or the same page.
      const std::byte* const end = area.ranges.back().data() + area.ranges.back().size();
      const uint64_t page_end = base::align_up(reinterpret_cast<uint64_t>(end), kPageBytes);
      is_joined = (block != VerbsMemory::kNone && block == its_block) ||
                  (!is_shared && reinterpret_cast<uint64_t>(slot.data) <= page_end);
    }
    if (!is_joined) {
      area.ranges.push_back(is_shared ? memory.block(its_block) : std::span(slot.data, 0));
      area.is_shared.push_back(is_shared);
    }
    std::span<std::byte>& range = area.ranges.back();
    const size_t end = static_cast<size_t>(slot.data - range.data()) + slot.bytes;
    range = {range.data(), std::max(range.size(), end)};
    block = its_block;
    area.slots[i] = {address_in(range) + static_cast<uint64_t>(slot.data - range.data()),
                     slot.bytes, static_cast<uint32_t>(area.ranges.size() - 1)};
  }
  if (area.ranges.size() <= kVerbsRangesMax) return area;
  return Status(Code::resource_exhausted,
                "slots of a link lie in " + std::to_string(area.ranges.size()) +
                    " places of memory; verbs takes " + std::to_string(kVerbsRangesMax) +
                    ": allocate tensors together");
}

}  // namespace phub::transport
