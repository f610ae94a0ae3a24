// Goal: a wrong, stale, missing or misplaced element is counted; a right one never is.
// Method: reductions computed here in double precision, then damaged in each way.
#include "perf/pattern.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/scalar.h"

namespace phub::perf {
namespace {

using Bytes = std::vector<std::byte>;

double number_at(DataType type, const Bytes& bytes, size_t i) {
  const std::byte* const at = bytes.data() + i * size_of(type);
  const auto read = [&](auto value) {
    std::memcpy(&value, at, sizeof(value));
    return value;
  };
  switch (type) {
    case DataType::fp32:
      return read(float{});
    case DataType::fp64:
      return read(double{});
    case DataType::int32:
      return read(int32_t{});
    case DataType::int64:
      return static_cast<double>(read(int64_t{}));
    case DataType::fp16:
      return kernels::scalar::from_fp16(read(uint16_t{}));
    case DataType::bf16:
      return kernels::scalar::from_bf16(read(uint16_t{}));
  }
  return 0;
}

void store_at(DataType type, Bytes& bytes, size_t i, double value) {
  std::byte* const at = bytes.data() + i * size_of(type);
  const auto write = [&](auto typed) { std::memcpy(at, &typed, sizeof(typed)); };
  switch (type) {
    case DataType::fp32:
      return write(static_cast<float>(value));
    case DataType::fp64:
      return write(value);
    case DataType::int32:
      return write(static_cast<int32_t>(value));
    case DataType::int64:
      return write(static_cast<int64_t>(value));
    case DataType::fp16:
      return write(kernels::scalar::to_fp16(static_cast<float>(value)));
    case DataType::bf16:
      return write(kernels::scalar::to_bf16(static_cast<float>(value)));
  }
}

double reduced(ReduceOp op, double a, double b) {
  switch (op) {
    case ReduceOp::sum:
    case ReduceOp::mean:
      return a + b;
    case ReduceOp::min:
      return std::fmin(a, b);
    case ReduceOp::max:
      return std::fmax(a, b);
    case ReduceOp::product:
      return a * b;
  }
  return 0;
}

// What a correct exchange of one round yields.
Bytes exchanged(const Pattern& pattern, uint32_t tensor, uint32_t round, size_t count) {
  Bytes result(count * size_of(pattern.type));
  std::vector<double> folded(count);
  for (uint32_t rank = 0; rank < pattern.rank_count; ++rank) {
    Bytes gradient(result.size());
    fill(pattern, {rank, tensor, round}, gradient);
    for (size_t i = 0; i < count; ++i) {
      const double value = number_at(pattern.type, gradient, i);
      folded[i] = rank == 0 ? value : reduced(pattern.op, folded[i], value);
    }
  }
  for (size_t i = 0; i < count; ++i) {
    const bool is_mean = pattern.op == ReduceOp::mean;
    store_at(pattern.type, result, i, is_mean ? folded[i] / pattern.rank_count : folded[i]);
  }
  return result;
}

constexpr size_t kCount = 20'000;  // More than two blocks of the verifier.

TEST(PatternTest, ARightResultHasNoWrongElementInAnyTypeAndReduction) {
  for (const DataType type : {DataType::fp32, DataType::fp16, DataType::bf16, DataType::fp64,
                              DataType::int32, DataType::int64}) {
    for (const ReduceOp op :
         {ReduceOp::sum, ReduceOp::mean, ReduceOp::min, ReduceOp::max, ReduceOp::product}) {
      for (const uint32_t ranks : {1u, 2u, 3u, 8u}) {
        const Pattern pattern{type, op, ranks};
        Verifier verifier(pattern, {}, {});
        EXPECT_EQ(verifier.count_wrong(3, 7, exchanged(pattern, 3, 7, kCount)), 0u)
            << to_string(type) << ' ' << to_string(op) << ' ' << ranks;
      }
    }
  }
}

TEST(PatternTest, PoisonIsWrongEverywhere) {
  for (const DataType type : {DataType::fp32, DataType::fp16, DataType::bf16, DataType::fp64,
                              DataType::int32, DataType::int64}) {
    Bytes result(kCount * size_of(type));
    poison(type, result);
    EXPECT_EQ(Verifier({type, ReduceOp::sum, 4}, {}, {}).count_wrong(0, 1, result), kCount);
  }
}

TEST(PatternTest, OneFlippedBitIsOneWrongElement) {
  const Pattern pattern{DataType::fp32, ReduceOp::sum, 4};
  Bytes result = exchanged(pattern, 0, 1, kCount);
  result[4 * 12'345] ^= std::byte{1};
  EXPECT_EQ(Verifier(pattern, {}, {}).count_wrong(0, 1, result), 1u);
}

TEST(PatternTest, AnotherRoundTensorRankOrPlaceIsWrongAlmostEverywhere) {
  const Pattern pattern{DataType::fp32, ReduceOp::sum, 4};
  Verifier verifier(pattern, {}, {});
  const size_t most = kCount / 2;
  EXPECT_GT(verifier.count_wrong(0, 2, exchanged(pattern, 0, 1, kCount)), most);
  EXPECT_GT(verifier.count_wrong(1, 1, exchanged(pattern, 0, 1, kCount)), most);
  const Pattern without_last{DataType::fp32, ReduceOp::sum, 3};
  EXPECT_GT(verifier.count_wrong(0, 1, exchanged(without_last, 0, 1, kCount)), most);
  const Bytes moved = exchanged(pattern, 0, 1, kCount + 8192);
  EXPECT_GT(verifier.count_wrong(0, 1, std::span(moved).subspan(8192 * 4)), most);
}

TEST(PatternTest, WeightsOfAnOptimizerAreFollowedRoundByRound) {
  // SGD by hand with numbers that stay exact: w -= g / 2.
  const Pattern pattern{DataType::fp32, ReduceOp::sum, 2};
  const OptimizerOptions sgd{.kind = OptimizerKind::sgd, .learning_rate = 0.5f};
  const uint64_t counts[] = {kCount};
  Verifier verifier(pattern, sgd, counts);
  Bytes weights(kCount * 4);
  fill(pattern, {0, 0, 0}, weights);
  for (uint32_t round = 1; round <= 3; ++round) {
    const Bytes sum = exchanged(pattern, 0, round, kCount);
    for (size_t i = 0; i < kCount; ++i) {
      store_at(DataType::fp32, weights, i,
               number_at(DataType::fp32, weights, i) - number_at(DataType::fp32, sum, i) / 2);
    }
    EXPECT_EQ(verifier.count_wrong(0, round, weights), 0u) << "round " << round;
  }
  EXPECT_GT(verifier.count_wrong(0, 4, weights), kCount / 2) << "weights that were not stepped";
}

}  // namespace
}  // namespace phub::perf
