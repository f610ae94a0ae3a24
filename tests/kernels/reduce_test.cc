// Goal: fold() gives the oracle's bits for every type, operation, number of sources, length and
// alignment, on every instruction set of this machine.
// Method: random data with a fifth of special values (zeros, denormals, infinities, NaN, extremes).
#include "kernels/reduce.h"

#include "tests/kernels/support.h"

namespace phub::kernels {
namespace {

// Sources and the accumulator's former content for one configuration, each at its own odd address.
struct Case {
  Case(DataType type_in, ReduceOp op_in, size_t source_count, bool carry_in, size_t count_in,
       uint64_t seed)
      : type(type_in), op(op_in), carry(carry_in), count(count_in), random(seed) {
    for (size_t k = 0; k < source_count; ++k) {
      buffers.emplace_back(count * size_of(type), (seed + 3 * k) % 64);
      fill(buffers.back(), type, random);
      sources.push_back(buffers.back().data());
    }
    before = make_accumulator();
    fill(before, accumulator_type(type), random);
    want = make_accumulator();
    std::memcpy(want.data(), before.data(), before.size());
    scalar::fold(type, op, sources, carry, want.data(), count);
  }

  Buffer make_accumulator() const {
    return Buffer(count * accumulator_size(type), (count * 5) % 64);
  }

  void check() const {
    Buffer got = make_accumulator();
    std::memcpy(got.data(), before.data(), before.size());
    fold(type, op, sources, carry, got.data(), count);
    ASSERT_TRUE(same_bits(accumulator_type(type), got.data(), want.data(), count))
        << to_string(op) << " of " << sources.size() << (carry ? " and a carry" : "");
    ASSERT_TRUE(got.canary_intact());
  }

  DataType type;
  ReduceOp op;
  bool carry;
  size_t count;
  base::Random random;
  std::vector<Buffer> buffers;
  std::vector<const void*> sources;
  Buffer before{0};
  Buffer want{0};
};

class ReduceTest : public testing::TestWithParam<DataType> {};
INSTANTIATE_TEST_SUITE_P(Types, ReduceTest, testing::ValuesIn(kAllTypes),
                         [](const auto& type) { return std::string(to_string(type.param)); });

TEST_P(ReduceTest, EveryShortLengthMatchesTheOracle) {
  uint64_t seed = 0;
  for (const ReduceOp op : kAllOps) {
    for (size_t count = 0; count <= 130; ++count) {
      // Lengths and numbers of sources interact only through the loop: a few of 16 for each.
      for (size_t n = count % 3; n < 16; n += 3) {
        const Case test(GetParam(), op, 1 + n % 8, n >= 8, count, ++seed);
        for_each_isa([&] { test.check(); });
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(ReduceTest, EveryNumberOfSourcesMatchesTheOracleOnAWholeChunk) {
  for (const ReduceOp op : kAllOps) {
    for (size_t n = 0; n < 16; ++n) {
      const Case test(GetParam(), op, 1 + n % 8, n >= 8, 1000 + 37 * n, n + 1);
      for_each_isa([&] { test.check(); });
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(ReduceTest, BlockBoundariesDoNotMatter) {
  const size_t count = 5000, element_bytes = size_of(GetParam());
  const size_t lane_bytes = accumulator_size(GetParam());
  const Case test(GetParam(), ReduceOp::sum, 5, false, count, 7);
  for_each_isa([&] {
    base::Random random(11);
    Buffer got = test.make_accumulator();
    for (size_t first = 0; first < count;) {
      const size_t run = std::min<size_t>(1 + random.below(300), count - first);
      std::vector<const void*> sources;
      for (const void* source : test.sources) {
        sources.push_back(static_cast<const char*>(source) + first * element_bytes);
      }
      fold(GetParam(), ReduceOp::sum, sources, false,
           static_cast<char*>(got.data()) + first * lane_bytes, run);
      first += run;
    }
    ASSERT_TRUE(same_bits(accumulator_type(GetParam()), got.data(), test.want.data(), count));
  });
}

TEST_P(ReduceTest, FoldingInSeveralCallsIsTheSameLeftFold) {
  const size_t count = 777;
  const Case test(GetParam(), ReduceOp::sum, 8, false, count, 9);
  const std::span<const void* const> all(test.sources);
  for_each_isa([&] {
    Buffer got = test.make_accumulator();
    fold(GetParam(), ReduceOp::sum, all.first(3), false, got.data(), count);
    fold(GetParam(), ReduceOp::sum, all.subspan(3, 1), true, got.data(), count);
    fold(GetParam(), ReduceOp::sum, all.last(4), true, got.data(), count);
    ASSERT_TRUE(same_bits(accumulator_type(GetParam()), got.data(), test.want.data(), count));
  });
}

TEST(ReduceInPlaceTest, TheAccumulatorMayBeASourceOfTheSameSize) {
  for (const DataType type : {DataType::fp32, DataType::fp64, DataType::int32, DataType::int64}) {
    for (size_t place = 0; place < 3; ++place) {
      const Case test(type, ReduceOp::product, 3, false, 333, place + 1);
      for_each_isa([&] {
        Buffer got = test.make_accumulator();
        std::memcpy(got.data(), test.sources[place], got.size());
        std::vector<const void*> sources = test.sources;
        sources[place] = got.data();
        fold(type, ReduceOp::product, sources, false, got.data(), test.count);
        ASSERT_TRUE(same_bits(type, got.data(), test.want.data(), test.count));
      });
    }
  }
}

// What follows pins the oracle itself, so that a wrong rule cannot hide in both.

template <typename T>
T fold_two(DataType type, ReduceOp op, T a, T b) {
  T result{};
  const void* const sources[] = {&a, &b};
  fold(type, op, sources, false, &result, 1);
  return result;
}

TEST(ReduceRuleTest, MinimumAndMaximumPropagateNanFromEitherSide) {
  const float nan = std::nanf("");
  for_each_isa([&] {
    for (const ReduceOp op : {ReduceOp::min, ReduceOp::max}) {
      EXPECT_TRUE(std::isnan(fold_two(DataType::fp32, op, nan, 1.0f)));
      EXPECT_TRUE(std::isnan(fold_two(DataType::fp32, op, 1.0f, nan)));
    }
    EXPECT_EQ(fold_two(DataType::fp32, ReduceOp::min, 3.0f, -2.0f), -2.0f);
    EXPECT_EQ(fold_two(DataType::fp64, ReduceOp::max, 3.0, -2.0), 3.0);
  });
}

TEST(ReduceRuleTest, OfTwoZerosMinimumAndMaximumKeepTheFirst) {
  for_each_isa([&] {
    for (const ReduceOp op : {ReduceOp::min, ReduceOp::max}) {
      EXPECT_TRUE(std::signbit(fold_two(DataType::fp32, op, -0.0f, 0.0f)));
      EXPECT_FALSE(std::signbit(fold_two(DataType::fp32, op, 0.0f, -0.0f)));
    }
  });
}

TEST(ReduceRuleTest, IntegersWrapAround) {
  constexpr int64_t low = INT64_MIN;
  for_each_isa([&] {
    EXPECT_EQ(fold_two(DataType::int32, ReduceOp::sum, INT32_MAX, 1), INT32_MIN);
    EXPECT_EQ(fold_two<int64_t>(DataType::int64, ReduceOp::sum, INT64_MAX, 1), low);
    EXPECT_EQ(fold_two(DataType::int32, ReduceOp::product, INT32_MIN, -1), INT32_MIN);
    EXPECT_EQ(fold_two<int64_t>(DataType::int64, ReduceOp::product, low, -1), low);
    EXPECT_EQ(fold_two<int64_t>(DataType::int64, ReduceOp::product, -3000000019, 3000000007),
              -9000000078000000133);
    EXPECT_EQ(fold_two<int64_t>(DataType::int64, ReduceOp::min, low, INT64_MAX), low);
  });
}

TEST(ReduceRuleTest, SumsWithNanAreNanInEveryTypeOfFloat) {
  for_each_isa([&] {
    EXPECT_TRUE(std::isnan(fold_two(DataType::fp32, ReduceOp::sum, 1.0f, std::nanf(""))));
    EXPECT_TRUE(std::isnan(fold_two(DataType::fp64, ReduceOp::product, std::nan(""), 1.0)));
    EXPECT_TRUE(std::isnan(fold_two(DataType::fp32, ReduceOp::sum, INFINITY, -INFINITY)));
  });
}

TEST(ReduceRuleTest, HalvesAreSummedInFloat32) {
  // 2048 + 1 is not an fp16: added in fp16 the ones would all be lost.
  const uint16_t big = scalar::to_fp16(2048), one = scalar::to_fp16(1);
  const void* const sources[] = {&big, &one, &one, &one};
  for_each_isa([&] {
    float sum = 0;
    fold(DataType::fp16, ReduceOp::sum, sources, false, &sum, 1);
    EXPECT_EQ(sum, 2051.0f);
  });
}

}  // namespace
}  // namespace phub::kernels
