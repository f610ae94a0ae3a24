#include "base/memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "base/try.h"

namespace phub::base {

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
    bytes_ = std::exchange(other.bytes_, {});
  }
  return *this;
}

Mapping::~Mapping() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

Result<Mapping> Mapping::anonymous(size_t bytes) {
  Result<Mapping> mapping = untouched(bytes);
  if (mapping.ok() && bytes > 0) std::memset(mapping->data(), 0, bytes);
  return mapping;
}

Result<Mapping> Mapping::untouched(size_t bytes) {
  if (bytes == 0) return Mapping();
  void* const address =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) {
    return Status(Code::resource_exhausted,
                  "map " + std::to_string(bytes) + " bytes of memory: " + errno_text());
  }
  ::madvise(address, bytes, MADV_HUGEPAGE);
  return Mapping({static_cast<std::byte*>(address), bytes});
}

Result<Mapping> Mapping::shared(int fd, size_t bytes) {
  if (bytes == 0) return Mapping();
  void* const address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) {
    return Status(Code::resource_exhausted,
                  "map " + std::to_string(bytes) + " bytes of shared memory: " + errno_text());
  }
  ::madvise(address, bytes, MADV_HUGEPAGE);
  return Mapping({static_cast<std::byte*>(address), bytes});
}

Result<Fd> make_sealed_memfd(const char* name, size_t bytes) {
  Fd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) {
    return Status(Code::resource_exhausted,
                  std::string("create memfd ") + name + ": " + errno_text());
  }
  if (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 ||
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    return Status(Code::resource_exhausted, std::string("size memfd ") + name + " to " +
                                                std::to_string(bytes) + " bytes: " + errno_text());
  }
  return fd;
}

Status check_sealed_memfd(int fd, size_t bytes) {
  struct statfs file_system;
  if (::fstatfs(fd, &file_system) != 0 || file_system.f_type != TMPFS_MAGIC) {
    return Status(Code::permission_denied,
                  "shared memory is not a memfd on tmpfs; use memfd_create");
  }
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return Status(Code::permission_denied,
                  "shared memory is not sealed against shrinking; add F_SEAL_SHRINK");
  }
  struct stat file;
  if (::fstat(fd, &file) != 0 || static_cast<size_t>(file.st_size) < bytes) {
    return Status(Code::permission_denied, "shared memory has " + std::to_string(file.st_size) +
                                               " bytes, but " + std::to_string(bytes) +
                                               " were announced");
  }
  return {};
}

}  // namespace phub::base
