// Goal: fp16 and bf16 are read exactly and written to the nearest, ties to even, on every
// instruction set.
// Method: all 65,536 bit patterns one way; the other way every value that can be written, every
// midpoint between two neighbours and the floats beside it, against a definition by distances.
#include <algorithm>

#include "kernels/finish.h"
#include "kernels/reduce.h"
#include "tests/kernels/support.h"

namespace phub::kernels {
namespace {

constexpr size_t kPatterns = 65536;

// The value of a pattern by the definition of the formats. Not for infinity and NaN.
double value_of(DataType type, uint32_t bits) {
  const bool fp16 = type == DataType::fp16;
  const int mantissa_bits = fp16 ? 10 : 7, bias = fp16 ? 15 : 127;
  const uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
  const int exponent = static_cast<int>(bits & 0x7FFF) >> mantissa_bits;
  const double fraction = exponent == 0 ? mantissa : mantissa + std::ldexp(1, mantissa_bits);
  const double magnitude = std::ldexp(fraction, std::max(exponent, 1) - bias - mantissa_bits);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

uint32_t infinity_of(DataType type) { return type == DataType::fp16 ? 0x7C00 : 0x7F80; }

std::vector<float> widened(DataType type, const std::vector<uint16_t>& wire) {
  std::vector<float> values(wire.size());
  const void* const source[] = {wire.data()};
  fold(type, ReduceOp::sum, source, false, values.data(), values.size());
  return values;
}

std::vector<uint16_t> narrowed(DataType type, const std::vector<float>& values) {
  std::vector<uint16_t> wire(values.size());
  void* const output[] = {wire.data()};
  emit(type, values.data(), output, values.size(), Stores::ordinary);
  return wire;
}

class CodecTest : public testing::TestWithParam<DataType> {};
INSTANTIATE_TEST_SUITE_P(Types, CodecTest, testing::Values(DataType::fp16, DataType::bf16),
                         [](const auto& type) { return std::string(to_string(type.param)); });

TEST_P(CodecTest, EveryPatternIsReadExactlyAndWrittenBack) {
  std::vector<uint16_t> all(kPatterns);
  for (size_t i = 0; i < kPatterns; ++i) all[i] = static_cast<uint16_t>(i);
  for_each_isa([&] {
    const std::vector<float> values = widened(GetParam(), all);
    const std::vector<uint16_t> back = narrowed(GetParam(), values);
    for (size_t i = 0; i < kPatterns; ++i) {
      if (is_nan_bits(GetParam(), i)) {
        ASSERT_TRUE(std::isnan(values[i])) << i;
        ASSERT_TRUE(is_nan_bits(GetParam(), back[i])) << i;
        continue;
      }
      ASSERT_EQ(back[i], i);
      if ((i & 0x7FFF) == infinity_of(GetParam())) {
        ASSERT_TRUE(std::isinf(values[i])) << i;
      } else {
        ASSERT_EQ(values[i], value_of(GetParam(), static_cast<uint32_t>(i))) << i;
      }
    }
  });
}

TEST_P(CodecTest, MidpointsGoToTheEvenNeighbourAndTheirNeighboursToTheNearest) {
  std::vector<float> values;
  std::vector<uint16_t> want;
  const auto expect = [&](float value, uint32_t bits) {
    values.insert(values.end(), {value, -value});
    want.insert(want.end(), {static_cast<uint16_t>(bits), static_cast<uint16_t>(bits | 0x8000)});
  };
  // The last interval, below infinity, is as wide as the one before it.
  for (uint32_t low = 0; low < infinity_of(GetParam()); ++low) {
    const double below = value_of(GetParam(), low), above = value_of(GetParam(), low + 1);
    const double middle = (below + above) / 2;
    const float exact = static_cast<float>(middle);  // Beyond float32 only above bf16's largest.
    ASSERT_EQ(exact, middle);
    expect(exact, low % 2 == 0 ? low : low + 1);
    expect(std::nextafter(exact, -INFINITY), low);
    expect(std::nextafter(exact, INFINITY), low + 1);
  }
  for_each_isa([&] {
    const std::vector<uint16_t> got = narrowed(GetParam(), values);
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i], want[i]) << std::hexfloat << values[i];
    }
  });
}

TEST_P(CodecTest, WritingRandomFloatsMatchesTheOracle) {
  base::Random random(5);
  std::vector<float> values(1 << 16);
  for (float& value : values) value = std::bit_cast<float>(static_cast<uint32_t>(random.next()));
  std::vector<uint16_t> want;
  for (const float value : values) {
    want.push_back(GetParam() == DataType::fp16 ? scalar::to_fp16(value) : scalar::to_bf16(value));
  }
  for_each_isa([&] {
    const std::vector<uint16_t> got = narrowed(GetParam(), values);
    ASSERT_EQ(got, want);  // Down to the payload of NaN.
  });
}

}  // namespace
}  // namespace phub::kernels
