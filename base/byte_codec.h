// Little-endian numbers in and out of byte buffers, with bounds: for packets and bootstrap blobs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace phub::base {

// Writes front to back. Past the end it writes nothing and is no longer ok().
class ByteWriter {
 public:
  explicit ByteWriter(std::span<std::byte> bytes) : bytes_(bytes) {}

  template <typename T>
  void number(T value) {
    static_assert(std::is_unsigned_v<T>);
    if (!take(sizeof(T))) return;
    for (size_t i = 0; i < sizeof(T); ++i) {
      bytes_[size_ - sizeof(T) + i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
    }
  }
  void raw(std::span<const std::byte> value) {
    if (!take(value.size()) || value.empty()) return;
    std::memcpy(bytes_.data() + size_ - value.size(), value.data(), value.size());
  }

  bool ok() const { return ok_; }
  size_t size() const { return size_; }
  size_t room() const { return bytes_.size() - size_; }

 private:
  bool take(size_t count) {
    ok_ = ok_ && count <= bytes_.size() - size_;
    if (ok_) size_ += count;
    return ok_;
  }

  std::span<std::byte> bytes_;
  size_t size_ = 0;
  bool ok_ = true;
};

// Reads front to back. Past the end every read gives zeros and ok() is false from then on.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <typename T>
  T number() {
    static_assert(std::is_unsigned_v<T>);
    const std::span<const std::byte> from = raw(sizeof(T));
    T value = 0;
    for (size_t i = 0; i < from.size(); ++i) {
      value = static_cast<T>(value | static_cast<T>(from[i]) << (8 * i));
    }
    return value;
  }
  // The next `count` bytes, in place; empty when there are not as many.
  std::span<const std::byte> raw(size_t count) {
    ok_ = ok_ && count <= bytes_.size() - position_;
    if (!ok_) return {};
    position_ += count;
    return bytes_.subspan(position_ - count, count);
  }

  bool ok() const { return ok_; }
  size_t left() const { return bytes_.size() - position_; }
  // Everything was there, and nothing more.
  bool is_complete() const { return ok_ && left() == 0; }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
  bool ok_ = true;
};

}  // namespace phub::base
