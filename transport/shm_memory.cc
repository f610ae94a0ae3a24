#include "transport/shm_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "base/try.h"

namespace phub::transport {
namespace {

constexpr size_t kRegionBytesMin = size_t{256} << 20;
constexpr size_t kRegionBytesMax = size_t{8} << 30;
constexpr int kBlockBytes = 512;  // The unit of st_blocks.

size_t page_bytes() { return static_cast<size_t>(::sysconf(_SC_PAGESIZE)); }

// Touches every page; -1 with errno where that cannot be done.
int populate(std::span<std::byte> bytes) {
  return ::madvise(bytes.data(), bytes.size(), MADV_POPULATE_WRITE);
}

// The mappings of peers' memory that links of this process hold.
class MappingCache {
 public:
  Result<std::shared_ptr<const base::Mapping>> map(int fd, uint64_t bytes,
                                                   const struct stat& file) {
    const std::scoped_lock lock(mutex_);
    // A mapping keeps its inode alive, so a number found with a live mapping is the same file.
    std::weak_ptr<const base::Mapping>& entry = mappings_[{file.st_dev, file.st_ino}];
    if (auto mapping = entry.lock(); mapping != nullptr && mapping->size() >= bytes) return mapping;
    PHUB_TRY_ASSIGN(base::Mapping mapped, base::Mapping::shared(fd, bytes));
    prefault(mapped.bytes());
    auto mapping = std::make_shared<const base::Mapping>(std::move(mapped));
    entry = mapping;
    std::erase_if(mappings_, [](const auto& other) { return other.second.expired(); });
    return mapping;
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<dev_t, ino_t>, std::weak_ptr<const base::Mapping>> mappings_;
};

MappingCache& mapping_cache() {
  static MappingCache instance;
  return instance;
}

}  // namespace

// On a refusal the first round takes the faults.
void prefault(std::span<std::byte> bytes) { [[maybe_unused]] const int error = populate(bytes); }

Status OwnMemory::add_region(size_t bytes) {
  const size_t exact = base::align_up(bytes, page_bytes());
  const size_t roomy = std::max(
      exact, std::min(kRegionBytesMin << std::min<size_t>(regions_.size(), 5), kRegionBytesMax));
  Region region;
  Status status;
  // A limit on file sizes or address space may forbid the roomy one.
  for (const size_t size : {roomy, exact}) {
    Result<base::Fd> fd = base::make_sealed_memfd("phub-worker", size);
    status = fd.status();
    if (!fd.ok()) continue;
    Result<base::Mapping> mapping = base::Mapping::shared(fd->get(), size);
    status = mapping.status();
    if (!mapping.ok()) continue;
    region.fd = std::move(fd).value();
    region.mapping = std::move(mapping).value();
    regions_.push_back(std::move(region));
    return {};
  }
  return status;
}

Status OwnMemory::make_present(Region& region, size_t bytes) {
  const size_t wanted = base::align_up(bytes, page_bytes());
  if (wanted <= region.present_bytes) return {};
  const size_t more = wanted - region.present_bytes;
  // Through the mapping, so that its advice counts and huge pages come where the machine gives
  // shared memory any; an error where touching would end in SIGBUS.
  int error = populate(region.mapping.bytes().subspan(region.present_bytes, more));
  if (error != 0 && errno == EINVAL) {  // Linux before 5.14.
    do {
      error = ::fallocate(region.fd.get(), 0, static_cast<off_t>(region.present_bytes),
                          static_cast<off_t>(more));
    } while (error != 0 && errno == EINTR);
  }
  if (error != 0) {
    return Status(Code::resource_exhausted, "allocate " + std::to_string(more) +
                                                " bytes of shared memory: " + base::errno_text());
  }
  region.present_bytes = wanted;
  return {};
}

Result<std::span<std::byte>> OwnMemory::allocate(size_t bytes) {
  if (bytes > SIZE_MAX / 4) {
    return Status(Code::resource_exhausted,
                  "allocate " + std::to_string(bytes) + " bytes of shared memory: absurd size");
  }
  const size_t taken = base::align_up(std::max<size_t>(bytes, 1), base::kCacheLineBytes);
  if (regions_.empty() || regions_.back().mapping.size() - regions_.back().used_bytes < taken) {
    PHUB_TRY(add_region(taken));
  }
  Region& region = regions_.back();
  PHUB_TRY(make_present(region, region.used_bytes + taken));
  const std::span<std::byte> result = region.mapping.bytes().subspan(region.used_bytes, bytes);
  region.used_bytes += taken;
  return result;
}

bool find_region(std::span<const std::span<std::byte>> regions, const std::byte* data,
                 uint64_t bytes, RegionSpan* found) {
  const auto address = reinterpret_cast<uintptr_t>(data);
  for (size_t i = 0; i < regions.size(); ++i) {
    const auto begin = reinterpret_cast<uintptr_t>(regions[i].data());
    if (address < begin || address - begin > regions[i].size()) continue;
    if (bytes > regions[i].size() - (address - begin)) continue;
    *found = {static_cast<uint32_t>(i), address - begin};
    return true;
  }
  return false;
}

Result<std::shared_ptr<const base::Mapping>> map_peer_memory(int fd, uint64_t bytes) {
  if (bytes == 0) return Status(Code::invalid_argument, "a region of 0 bytes was announced");
  PHUB_TRY(base::check_sealed_memfd(fd, bytes));
  struct stat file;
  if (::fstat(fd, &file) != 0) {
    return Status(Code::internal, "stat shared memory: " + base::errno_text());
  }
  const uint64_t present = static_cast<uint64_t>(file.st_blocks) * kBlockBytes;
  if (present < bytes) {
    return Status(Code::permission_denied,
                  "shared memory has pages for " + std::to_string(present) + " bytes, but " +
                      std::to_string(bytes) + " were announced; allocate them with fallocate");
  }
  return mapping_cache().map(fd, bytes, file);
}

}  // namespace phub::transport
