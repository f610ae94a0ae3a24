// Shared by the kernel tests: buffers at odd addresses, data full of special values, and the
// comparison with the oracle bit for bit (any NaN equals any NaN).
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/isa.h"
#include "kernels/scalar.h"

namespace phub::kernels {

constexpr DataType kAllTypes[] = {DataType::fp32, DataType::fp16,  DataType::bf16,
                                  DataType::fp64, DataType::int32, DataType::int64};
constexpr ReduceOp kAllOps[] = {ReduceOp::sum, ReduceOp::mean, ReduceOp::min, ReduceOp::max,
                                ReduceOp::product};

// Runs the body under every instruction set of this machine, then goes back to what was in use.
inline void for_each_isa(const std::function<void()>& body) {
  const std::string before = isa_name();
  for (const std::string& name : supported_isas()) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(force_isa(name).ok());
    ASSERT_EQ(isa_name(), name);
    body();
    if (testing::Test::HasFatalFailure()) break;
  }
  ASSERT_TRUE(force_isa(before).ok());
}

// Bytes that begin `offset` bytes after a 64-byte boundary, with a canary behind them.
class Buffer {
 public:
  explicit Buffer(size_t bytes, size_t offset = 0)
      : bytes_(bytes), storage_(bytes + offset + 64 + kCanaryBytes, 0xA5) {
    const size_t address = reinterpret_cast<size_t>(storage_.data());
    start_ = (64 - address % 64) % 64 + offset;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  Buffer(Buffer&&) = default;
  Buffer& operator=(Buffer&&) = default;

  void* data() { return storage_.data() + start_; }
  const void* data() const { return storage_.data() + start_; }
  size_t size() const { return bytes_; }
  float* floats() { return static_cast<float*>(data()); }
  bool canary_intact() const {
    for (size_t i = start_ + bytes_; i < storage_.size(); ++i) {
      if (storage_[i] != 0xA5) return false;
    }
    return true;
  }

 private:
  static constexpr size_t kCanaryBytes = 64;
  size_t bytes_;
  std::vector<unsigned char> storage_;
  size_t start_ = 0;
};

// One element: an ordinary number, or one of the values at which kernels go wrong.
inline uint64_t random_bits(DataType type, base::Random& random) {
  static constexpr uint32_t kFp32[] = {0,          0x80000000, 1,          0x80000001, 0x007FFFFF,
                                       0x00800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000,
                                       0x7FA00001, 0x3F800000, 0xBF800000, 0x33000000, 0x477FF000};
  static constexpr uint16_t kFp16[] = {0,      0x8000, 1,      0x8001, 0x03FF, 0x0400, 0x7BFF,
                                       0x7C00, 0xFC00, 0x7E00, 0x7D01, 0x3C00, 0xBC00};
  static constexpr uint16_t kBf16[] = {0,      0x8000, 1,      0x8001, 0x007F, 0x0080, 0x7F7F,
                                       0x7F80, 0xFF80, 0x7FC0, 0x7FA1, 0x3F80, 0xBF80};
  static constexpr uint64_t kFp64[] = {0,
                                       0x8000000000000000,
                                       1,
                                       0x000FFFFFFFFFFFFF,
                                       0x7FEFFFFFFFFFFFFF,
                                       0x7FF0000000000000,
                                       0xFFF0000000000000,
                                       0x7FF8000000000000,
                                       0x7FF4000000000001};
  static constexpr uint64_t kInts[] = {0, 1, ~0ull, 0x80000000, 0x7FFFFFFF, 1ull << 63, ~0ull >> 1};
  const bool special = random.chance(0.2);
  const float ordinary = static_cast<float>(random.unit() * 4 - 2);
  const auto pick = [&random](const auto& list) { return list[random.below(std::size(list))]; };
  switch (type) {
    case DataType::fp32:
      return special ? pick(kFp32) : std::bit_cast<uint32_t>(ordinary);
    case DataType::fp16:
      return special ? pick(kFp16) : scalar::to_fp16(ordinary);
    case DataType::bf16:
      return special ? pick(kBf16) : scalar::to_bf16(ordinary);
    case DataType::fp64:
      return special ? pick(kFp64) : std::bit_cast<uint64_t>(random.unit() * 4 - 2);
    case DataType::int32:
    case DataType::int64:
      return special ? pick(kInts) : random.next();
  }
  return 0;
}

inline void fill(Buffer& buffer, DataType type, base::Random& random) {
  const size_t element_bytes = size_of(type);
  for (size_t at = 0; at + element_bytes <= buffer.size(); at += element_bytes) {
    const uint64_t bits = random_bits(type, random);  // Little-endian: the low bytes come first.
    std::memcpy(static_cast<char*>(buffer.data()) + at, &bits, element_bytes);
  }
}

// Floats in [-1, 1], for state that must stay finite.
inline void fill_ordinary(Buffer& buffer, base::Random& random) {
  for (size_t i = 0; i < buffer.size() / 4; ++i) {
    buffer.floats()[i] = static_cast<float>(random.unit() * 2 - 1);
  }
}

inline bool is_nan_bits(DataType type, uint64_t bits) {
  switch (type) {
    case DataType::fp32:
      return (bits & 0x7FFFFFFF) > 0x7F800000;
    case DataType::fp16:
      return (bits & 0x7FFF) > 0x7C00;
    case DataType::bf16:
      return (bits & 0x7FFF) > 0x7F80;
    case DataType::fp64:
      return (bits & ~0ull >> 1) > 0x7FF0000000000000;
    case DataType::int32:
    case DataType::int64:
      return false;
  }
  return false;
}

// Element `i` of type `type` as bits.
inline uint64_t bits_at(DataType type, const void* base, size_t i) {
  uint64_t bits = 0;
  std::memcpy(&bits, static_cast<const char*>(base) + i * size_of(type), size_of(type));
  return bits;
}

// Success, or the first element that differs.
inline testing::AssertionResult same_bits(DataType type, const void* got, const void* want,
                                          size_t count) {
  if (std::memcmp(got, want, count * size_of(type)) == 0) return testing::AssertionSuccess();
  for (size_t i = 0; i < count; ++i) {
    const uint64_t a = bits_at(type, got, i), b = bits_at(type, want, i);
    if (a == b || (is_nan_bits(type, a) && is_nan_bits(type, b))) continue;
    return testing::AssertionFailure() << to_string(type) << " element " << i << " of " << count
                                       << ": got " << std::hex << a << ", want " << b;
  }
  return testing::AssertionSuccess();
}

// The type of accumulators for tensors of `type`.
inline DataType accumulator_type(DataType type) {
  return type == DataType::fp16 || type == DataType::bf16 ? DataType::fp32 : type;
}

}  // namespace phub::kernels
