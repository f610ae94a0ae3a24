#include <ps/sarray.h>
#include <sys/mman.h>

#include <new>

namespace ps {
namespace internal {

// On pages of 2 MiB a fresh array costs a 512th of the faults.
std::shared_ptr<void> AllocateLarge(size_t bytes) {
  void* const memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  ::madvise(memory, bytes, MADV_HUGEPAGE);
  return std::shared_ptr<void>(memory, [bytes](void* old) { ::munmap(old, bytes); });
}

}  // namespace internal
}  // namespace ps
