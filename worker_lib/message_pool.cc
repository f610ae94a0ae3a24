#include "worker_lib/message_pool.h"

#include <algorithm>
#include <bit>
#include <new>

namespace phub::client {
namespace {

constexpr size_t kSmallBytes = 64 << 10;      // From malloc: it keeps such blocks itself.
constexpr size_t kKeptBytesMax = 512u << 20;  // Beyond, blocks go back to the system.
constexpr std::align_val_t kAlignment{base::kCacheLineBytes};

// Few sizes, so that blocks fit again: an eighth at most is wasted.
size_t block_bytes(size_t bytes) {
  const size_t step = std::bit_ceil(bytes) / 8;
  return base::align_up(bytes, std::max<size_t>(step, 64 << 10));
}

}  // namespace

std::shared_ptr<std::byte> MessagePool::take(size_t bytes) {
  if (bytes <= kSmallBytes) {
    auto* const block = static_cast<std::byte*>(
        ::operator new(std::max<size_t>(bytes, 1), kAlignment, std::nothrow));
    if (block == nullptr) return nullptr;
    return {block, [](std::byte* memory) { ::operator delete(memory, kAlignment); }};
  }
  const size_t wanted = block_bytes(bytes);
  base::Mapping block;
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(kept_.begin(), kept_.end(), [wanted](const base::Mapping& one) {
      return one.size() >= wanted && one.size() <= 2 * wanted;
    });
    if (found != kept_.end()) {
      kept_bytes_ -= found->size();
      block = std::move(*found);
      kept_.erase(found);
    }
  }
  if (block.data() == nullptr) {
    Result<base::Mapping> fresh = base::Mapping::untouched(wanted);
    if (!fresh.ok()) return nullptr;
    block = std::move(fresh).value();
  }
  std::byte* const memory = block.data();
  auto owner = std::make_shared<base::Mapping>(std::move(block));
  return {memory,
          [owner, pool = shared_from_this()](std::byte*) { pool->give_back(std::move(*owner)); }};
}

void MessagePool::give_back(base::Mapping block) {
  const std::lock_guard lock(mutex_);
  if (kept_bytes_ + block.size() > kKeptBytesMax) return;
  kept_bytes_ += block.size();
  kept_.push_back(std::move(block));
}

size_t MessagePool::kept_bytes() const {
  const std::lock_guard lock(mutex_);
  return kept_bytes_;
}

}  // namespace phub::client
