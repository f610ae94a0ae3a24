// Big blocks of memory, taken at set-up: private, or a sealed memfd that another process may map.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/fd.h"

namespace phub::base {

constexpr size_t kCacheLineBytes = 64;
constexpr size_t align_up(size_t value, size_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

// A mapping, unmapped on destruction. Zeroed, page aligned.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  std::byte* data() const { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }
  std::span<std::byte> bytes() const { return bytes_; }

  // Private anonymous memory, huge pages advised, every page touched before the return, so that
  // nothing faults later. resource_exhausted: refused; the message says how much was asked.
  static Result<Mapping> anonymous(size_t bytes);
  // The same, but pages come when they are touched first.
  static Result<Mapping> untouched(size_t bytes);
  // All of a shared memory file of `bytes`, readable and writable.
  static Result<Mapping> shared(int fd, size_t bytes);

 private:
  explicit Mapping(std::span<std::byte> bytes) : bytes_(bytes) {}
  std::span<std::byte> bytes_;
};

// A new memfd of `bytes`, sealed against shrinking and growing.
Result<Fd> make_sealed_memfd(const char* name, size_t bytes);

// Whether `fd` may be mapped without fear of its owner: a memfd on tmpfs, at least `bytes` long and
// sealed against shrinking (so that no access can raise SIGBUS). permission_denied: says why not.
Status check_sealed_memfd(int fd, size_t bytes);

}  // namespace phub::base
