#include "transport/dpdk/lent_memory.h"

#include <rte_dev.h>
#include <rte_memory.h>

#include <algorithm>
#include <map>
#include <mutex>

namespace phub::transport::dpdk {
namespace {

constexpr uintptr_t kPage = 4096;

struct Pages {
  uintptr_t begin = 0;
  uintptr_t end = 0;
  auto operator<=>(const Pages&) const = default;
  void* data() const { return reinterpret_cast<void*>(begin); }
  size_t size() const { return end - begin; }
};
struct Known {
  std::vector<rte_device*> devices;
  size_t user_count = 0;
};
std::mutex mutex;
std::map<Pages, Known>& known_pages() {
  static auto* const all = new std::map<Pages, Known>();
  return *all;
}

Pages pages_of(std::span<const std::byte> memory) {
  const auto begin = reinterpret_cast<uintptr_t>(memory.data());
  return {begin & ~(kPage - 1), (begin + memory.size() + kPage - 1) & ~(kPage - 1)};
}

// Addresses of devices are those of the process: Device::can_gather() asks for nothing else.
void unmap(const Pages& pages, std::span<rte_device* const> devices) {
  for (rte_device* const device : devices) {
    ::rte_dev_dma_unmap(device, pages.data(), pages.begin, pages.size());
  }
  ::rte_extmem_unregister(pages.data(), pages.size());
}

bool map(const Pages& pages, std::span<rte_device* const> devices) {
  if (::rte_extmem_register(pages.data(), pages.size(), nullptr, 0, kPage) != 0) return false;
  for (size_t i = 0; i < devices.size(); ++i) {
    if (::rte_dev_dma_map(devices[i], pages.data(), pages.begin, pages.size()) == 0) continue;
    unmap(pages, devices.first(i));
    return false;
  }
  return true;
}

bool use(const Pages& pages, const std::vector<rte_device*>& devices) {
  const std::scoped_lock lock(mutex);
  const auto known = known_pages().find(pages);
  if (known == known_pages().end()) {
    if (!map(pages, devices)) return false;
    known_pages()[pages] = {devices, 1};
    return true;
  }
  if (known->second.devices != devices) return false;
  ++known->second.user_count;
  return true;
}

void leave(const Pages& pages) {
  const std::scoped_lock lock(mutex);
  const auto known = known_pages().find(pages);
  if (--known->second.user_count > 0) return;
  unmap(pages, known->second.devices);
  known_pages().erase(known);
}

bool is_before(std::span<const std::byte> one, std::span<const std::byte> other) {
  return one.data() < other.data();
}

}  // namespace

LentMemory::~LentMemory() {
  for (const std::span<const std::byte> region : regions_) leave(pages_of(region));
}

void LentMemory::add(std::span<const std::byte> memory) {
  if (memory.empty() || holds(memory) || !use(pages_of(memory), devices_)) return;
  regions_.insert(std::upper_bound(regions_.begin(), regions_.end(), memory, is_before), memory);
}

void LentMemory::remove(std::span<const std::byte> memory) {
  const auto found = std::find_if(regions_.begin(), regions_.end(), [memory](const auto& region) {
    return region.data() == memory.data() && region.size() == memory.size();
  });
  if (found == regions_.end()) return;
  leave(pages_of(memory));
  regions_.erase(found);
}

bool LentMemory::holds(std::span<const std::byte> piece) const {
  const auto after = std::upper_bound(regions_.begin(), regions_.end(), piece, is_before);
  if (after == regions_.begin()) return false;
  const std::span<const std::byte> region = *std::prev(after);
  return piece.data() + piece.size() <= region.data() + region.size();
}

}  // namespace phub::transport::dpdk
