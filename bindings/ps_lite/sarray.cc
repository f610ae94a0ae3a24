#include <ps/sarray.h>
#include <sys/mman.h>

#include <mutex>
#include <new>

namespace ps {
namespace internal {
namespace {

// Arrays that were freed, for the next ones: the pages of fresh memory cost more than a copy.
class Kept {
 public:
  void* Take(size_t bytes, size_t* size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto block = blocks_.begin(); block != blocks_.end(); ++block) {
      if (block->second < bytes || block->second > 2 * bytes) continue;
      void* const memory = block->first;
      *size = block->second;
      bytes_ -= block->second;
      blocks_.erase(block);
      return memory;
    }
    return nullptr;
  }
  void Give(void* memory, size_t bytes) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (bytes_ + bytes <= kBytesMax) {
        bytes_ += bytes;
        blocks_.emplace_back(memory, bytes);
        return;
      }
    }
    ::munmap(memory, bytes);
  }

 private:
  static constexpr size_t kBytesMax = size_t{512} << 20;
  std::mutex mutex_;
  std::vector<std::pair<void*, size_t>> blocks_;
  size_t bytes_ = 0;
};

}  // namespace

std::shared_ptr<void> AllocateLarge(size_t bytes) {
  static Kept* const kept = new Kept;  // Outlives every array.
  size_t size = bytes;
  void* memory = kept->Take(bytes, &size);
  if (memory == nullptr) {
    memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    ::madvise(memory, bytes, MADV_HUGEPAGE);  // A 512th of the faults.
  }
  return std::shared_ptr<void>(memory, [size](void* old) { kept->Give(old, size); });
}

}  // namespace internal
}  // namespace ps
