// Goal: finish(), copy_out(), emit() and sum_of_squares() give the oracle's bits in every output
// and in the state, on every instruction set, for every type, length, alignment and number of
// outputs.
#include "kernels/finish.h"

#include <numeric>

#include "tests/kernels/support.h"

namespace phub::kernels {
namespace {

constexpr OptimizerKind kAllKinds[] = {OptimizerKind::none,     OptimizerKind::sgd,
                                       OptimizerKind::momentum, OptimizerKind::nesterov,
                                       OptimizerKind::adam,     OptimizerKind::adamw};

struct Shape {
  DataType type = DataType::fp32;
  ReduceOp op = ReduceOp::sum;
  size_t source_count = 2;
  bool carry = false;
  size_t output_count = 2;
  size_t count = 0;
  Stores stores = Stores::non_temporal;
  StepInput step = {};
  bool in_place = false;  // Outputs are the sources, as far as both go.
};

// All memory of one call; copies start from equal content, so that oracle and kernel can be run on
// one each.
class Memory {
 public:
  Memory(const Shape& shape, uint64_t seed) : shape_(shape) {
    base::Random random(seed);
    const size_t bytes = shape.count * size_of(shape.type);
    for (size_t k = 0; k < shape.source_count; ++k) {
      sources_.emplace_back(bytes, (seed * 7 + 5 * k) % 64);
      fill(sources_.back(), shape.type, random);
    }
    for (size_t k = 0; k < shape.output_count; ++k) {
      outputs_.emplace_back(bytes, (seed * 3 + 11 * k) % 64);
    }
    if (shape.carry) {
      accumulator_ = Buffer(shape.count * accumulator_size(shape.type), seed * 5 % 64);
      fill(accumulator_, accumulator_type(shape.type), random);
    }
    for (Buffer* state : {&weights_, &first_, &second_}) {
      *state = Buffer(shape.count * 4);
      fill_ordinary(*state, random);
    }
    for (size_t i = 0; i < shape.count; ++i) second_.floats()[i] = std::abs(second_.floats()[i]);
  }

  FinishInput input() {
    source_pointers_.clear();
    output_pointers_.clear();
    for (Buffer& source : sources_) source_pointers_.push_back(source.data());
    for (size_t k = 0; k < outputs_.size(); ++k) {
      const bool reuse = shape_.in_place && k < sources_.size();
      output_pointers_.push_back(reuse ? sources_[k].data() : outputs_[k].data());
    }
    FinishInput input;
    input.type = shape_.type;
    input.op = shape_.op;
    input.sources = source_pointers_;
    input.accumulator = shape_.carry ? accumulator_.data() : nullptr;
    input.contributor_count = 3;
    input.step = shape_.step;
    if (shape_.step.options.kind != OptimizerKind::none) {
      input.state = {weights_.floats(), first_.floats(), second_.floats()};
    }
    input.outputs = output_pointers_;
    input.count = shape_.count;
    input.stores = shape_.stores;
    return input;
  }

  void expect_same(const Memory& want) const {
    for (size_t k = 0; k < output_pointers_.size(); ++k) {
      ASSERT_TRUE(
          same_bits(shape_.type, output_pointers_[k], want.output_pointers_[k], shape_.count))
          << "output " << k;
    }
    for (const auto& [mine, other] :
         {std::pair(&weights_, &want.weights_), std::pair(&first_, &want.first_),
          std::pair(&second_, &want.second_)}) {
      ASSERT_TRUE(same_bits(DataType::fp32, mine->data(), other->data(), shape_.count));
      ASSERT_TRUE(mine->canary_intact());
    }
    for (const Buffer& output : outputs_) ASSERT_TRUE(output.canary_intact());
    for (const Buffer& source : sources_) ASSERT_TRUE(source.canary_intact());
  }

 private:
  Shape shape_;
  std::vector<Buffer> sources_, outputs_;
  Buffer accumulator_{0}, weights_{0}, first_{0}, second_{0};
  std::vector<const void*> source_pointers_;
  std::vector<void*> output_pointers_;
};

void expect_oracle(const Shape& shape, uint64_t seed) {
  SCOPED_TRACE(testing::Message() << to_string(shape.type) << " " << to_string(shape.op) << " "
                                  << to_string(shape.step.options.kind) << ", "
                                  << shape.source_count << " sources, " << shape.output_count
                                  << " outputs, " << shape.count << " elements, seed " << seed);
  Memory want(shape, seed);
  scalar::finish(want.input());
  for_each_isa([&] {
    Memory got(shape, seed);
    finish(got.input());
    got.expect_same(want);
  });
}

class FinishTest : public testing::TestWithParam<DataType> {};
INSTANTIATE_TEST_SUITE_P(Types, FinishTest, testing::ValuesIn(kAllTypes),
                         [](const auto& type) { return std::string(to_string(type.param)); });

TEST_P(FinishTest, EveryShortLengthMatchesTheOracle) {
  for (size_t count = 0; count <= 130; ++count) {
    const Shape shape{.type = GetParam(),
                      .op = kAllOps[count % 5],
                      .source_count = 1 + count % 4,
                      .carry = count % 2 == 0,
                      .count = count,
                      .stores = count % 3 == 0 ? Stores::ordinary : Stores::non_temporal};
    expect_oracle(shape, count + 1);
    if (HasFatalFailure()) return;
  }
}

TEST_P(FinishTest, EveryOperationAndNumberOfSourcesMatchesTheOracle) {
  uint64_t seed = 0;
  for (const ReduceOp op : kAllOps) {
    for (size_t n = 1; n < 18; ++n) {  // 0 to 8 sources with a carry, 1 to 8 without.
      const Shape shape{.type = GetParam(),
                        .op = op,
                        .source_count = n / 2,
                        .carry = n % 2 == 1,
                        .count = 700 + 31 * n};
      expect_oracle(shape, ++seed);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(FinishTest, OneToNineOutputsAcrossSeveralBlocksMatchTheOracle) {
  for (size_t output_count = 0; output_count <= 9; ++output_count) {
    for (const Stores stores : {Stores::ordinary, Stores::non_temporal}) {
      expect_oracle({.type = GetParam(),
                     .source_count = 3,
                     .output_count = output_count,
                     .count = 5000 + output_count,
                     .stores = stores},
                    output_count + 1);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(FinishTest, OutputsMayBeTheSources) {
  for (const ReduceOp op : kAllOps) {
    expect_oracle({.type = GetParam(),
                   .op = op,
                   .source_count = 4,
                   .output_count = 5,
                   .count = 4500,
                   .in_place = true},
                  17);
    if (HasFatalFailure()) return;
  }
}

TEST_P(FinishTest, CopyOutReachesEveryOutputBitForBit) {
  for (const size_t count : {0u, 1u, 63u, 130u, 9001u}) {
    base::Random random(count);
    Buffer source(count * size_of(GetParam()), 3);
    fill(source, GetParam(), random);
    for_each_isa([&] {
      Buffer first(source.size(), 1), second(source.size(), 64);
      void* const outputs[] = {first.data(), source.data(), second.data()};
      copy_out(GetParam(), source.data(), outputs, count, Stores::non_temporal, nullptr);
      for (const Buffer* output : {&first, &second}) {
        ASSERT_EQ(std::memcmp(output->data(), source.data(), source.size()), 0);
        ASSERT_TRUE(output->canary_intact());
      }
    });
  }
}

class FinishFloatTest : public testing::TestWithParam<DataType> {};
INSTANTIATE_TEST_SUITE_P(Types, FinishFloatTest,
                         testing::Values(DataType::fp32, DataType::fp16, DataType::bf16),
                         [](const auto& type) { return std::string(to_string(type.param)); });

TEST_P(FinishFloatTest, EveryOptimizerMatchesTheOracle) {
  uint64_t seed = 0;
  for (const OptimizerKind kind : kAllKinds) {
    for (const bool skip : {false, true}) {
      for (const float scale : {1.0f, 0.3f}) {
        for (const float weight_decay : {0.0f, 0.01f}) {
          for (const uint64_t step : {1u, 2u, 1000u}) {
            Shape shape{.type = GetParam(), .op = ReduceOp::mean, .count = 2100 + 13 * ++seed};
            shape.step.options.kind = kind;
            shape.step.options.weight_decay = weight_decay;
            shape.step.options.dampening = 0.25f;
            shape.step.gradient_scale = scale;
            shape.step.skip = skip;
            shape.step.step = step;
            expect_oracle(shape, seed);
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

TEST_P(FinishFloatTest, ASkippedStepHandsOutTheWeightsAndChangesNothing) {
  for_each_isa([&] {
    std::vector<float> weights(200), moments(200, 0.5f);
    std::iota(weights.begin(), weights.end(), -100.0f);
    const std::vector<float> before = weights;
    std::vector<float> wire(200, NAN);
    void* const outputs[] = {wire.data()};
    const void* const sources[] = {wire.data()};  // NaN gradients must not get anywhere.
    FinishInput input;
    input.type = GetParam();
    input.sources = sources;
    input.outputs = outputs;
    input.count = weights.size();
    input.step.options.kind = OptimizerKind::adam;
    input.step.skip = true;
    input.state = {weights.data(), moments.data(), moments.data()};
    finish(input);
    EXPECT_EQ(weights, before);
    EXPECT_EQ(moments, std::vector<float>(200, 0.5f));
    std::vector<float> read(200);
    fold(GetParam(), ReduceOp::sum, sources, false, read.data(), read.size());
    EXPECT_EQ(read, before);  // Integers to 100 are exact in 16 bits.
  });
}

TEST_P(FinishFloatTest, CopyOutCanMakeTheSourceTheWeights) {
  constexpr size_t kCount = 4321;
  base::Random random(3);
  Buffer source(kCount * size_of(GetParam()), 2);
  fill(source, GetParam(), random);
  std::vector<float> want(kCount);
  scalar::copy_out(GetParam(), source.data(), {}, kCount, want.data());
  for_each_isa([&] {
    std::vector<float> weights(kCount);
    copy_out(GetParam(), source.data(), {}, kCount, Stores::ordinary, weights.data());
    ASSERT_TRUE(same_bits(DataType::fp32, weights.data(), want.data(), kCount));
  });
}

TEST_P(FinishFloatTest, EmitConvertsIntoEveryOutput) {
  base::Random random(4);
  for (const size_t count : {0u, 1u, 15u, 130u, 6007u}) {
    Buffer values(count * 4);
    fill(values, DataType::fp32, random);
    Buffer want(count * size_of(GetParam()));
    void* const want_outputs[] = {want.data()};
    scalar::emit(GetParam(), values.floats(), want_outputs, count);
    for_each_isa([&] {
      Buffer first(want.size(), 7), second(want.size(), 32);
      void* const outputs[] = {first.data(), second.data()};
      emit(GetParam(), values.floats(), outputs, count, Stores::non_temporal);
      ASSERT_TRUE(same_bits(GetParam(), first.data(), want.data(), count));
      ASSERT_TRUE(same_bits(GetParam(), second.data(), want.data(), count));
      ASSERT_TRUE(first.canary_intact() && second.canary_intact());
    });
  }
}

// What follows pins the rules, so that oracle and kernels cannot be wrong together.

template <typename T>
T mean_of(DataType type, std::vector<T> values) {
  std::vector<const void*> sources;
  for (const T& value : values) sources.push_back(&value);
  T result{};
  void* const outputs[] = {&result};
  FinishInput input;
  input.type = type;
  input.op = ReduceOp::mean;
  input.sources = sources;
  input.contributor_count = static_cast<uint32_t>(values.size());
  input.outputs = outputs;
  input.count = 1;
  finish(input);
  return result;
}

TEST(FinishRuleTest, MeansOfIntegersAreTruncatedTowardZero) {
  for_each_isa([&] {
    EXPECT_EQ(mean_of<int32_t>(DataType::int32, {-4, -1, 0}), -1);
    EXPECT_EQ(mean_of<int32_t>(DataType::int32, {4, 1, 0}), 1);
    EXPECT_EQ(mean_of<int64_t>(DataType::int64, {-7, 0}), -3);
    EXPECT_EQ(mean_of<int32_t>(DataType::int32, {INT32_MIN}), INT32_MIN);
  });
}

TEST(FinishRuleTest, MeansOfFloatsAreCorrectlyRoundedQuotients) {
  for_each_isa([&] {
    EXPECT_EQ(mean_of<float>(DataType::fp32, {1, 2, 7}), 10.0f / 3.0f);
    EXPECT_EQ(mean_of<double>(DataType::fp64, {1, 2, 7}), 10.0 / 3.0);
  });
}

TEST(FinishRuleTest, SumOfSquaresIsTheOracleAndTheMathematics) {
  base::Random random(6);
  for (size_t count = 0; count < 9000; count = count < 200 ? count + 1 : count * 3) {
    Buffer values(count * 4);
    fill_ordinary(values, random);
    const float scale = 0.37f;
    const double want = scalar::sum_of_squares(values.floats(), scale, count);
    long double exact = 0;
    for (size_t i = 0; i < count; ++i) {
      const float scaled = values.floats()[i] * scale;
      exact += static_cast<long double>(scaled) * scaled;
    }
    EXPECT_NEAR(want, static_cast<double>(exact), 1e-13 * static_cast<double>(exact));
    for_each_isa([&] { EXPECT_EQ(sum_of_squares(values.floats(), scale, count), want); });
  }
}

}  // namespace
}  // namespace phub::kernels
