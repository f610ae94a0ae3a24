// Goal: the example trains the network that it says it trains, on the data that it says it uses.
// Method: the gradient against finite differences; the data set against its published figures;
// equal seeds against each other.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <numeric>

#include "examples/digits/dataset.h"
#include "examples/digits/network.h"

namespace digits {
namespace {

class Storage {
 public:
  Storage() {
    for (size_t i = 0; i < kTensorCount; ++i) {
      values_[i].resize(kTensorShapes[i].count);
      tensors[i] = values_[i];
    }
  }
  Tensors tensors;

 private:
  std::array<std::vector<float>, kTensorCount> values_;
};

Split load_or_die() {
  auto split = load(DIGITS_CSV, 1);
  EXPECT_TRUE(split.ok()) << split.status().message();
  return split.ok() ? *std::move(split) : Split{};
}

TEST(DigitsTest, TheDataSetIsTheOneOfUci) {
  const Split split = load_or_die();
  EXPECT_EQ(split.train.size() + split.test.size(), 1797u);
  EXPECT_EQ(split.test.size(), 360u);
  std::array<size_t, kClassCount> counts{};
  for (const uint8_t label : split.train.labels) ++counts[label];
  for (const uint8_t label : split.test.labels) ++counts[label];
  const std::array<size_t, kClassCount> published = {178, 182, 177, 183, 181,
                                                     182, 181, 179, 174, 180};
  EXPECT_EQ(counts, published);
}

TEST(DigitsTest, EveryRankGetsTheSameSplit) {
  const Split first = load_or_die();
  const Split second = load_or_die();
  EXPECT_EQ(first.train.pixels, second.train.pixels);
  EXPECT_EQ(first.test.labels, second.test.labels);
  const auto other_seed = load(DIGITS_CSV, 2);
  ASSERT_TRUE(other_seed.ok());
  EXPECT_NE(first.test.labels, other_seed->test.labels);
}

TEST(DigitsTest, ABrokenLineIsNamed) {
  const std::string path = testing::TempDir() + "digits_test.csv";
  for (const char* const line : {"1,2,3", "a", "", "17,0"}) {
    std::ofstream(path) << line << '\n';
    const auto split = load(path, 1);
    ASSERT_FALSE(split.ok()) << line;
    EXPECT_EQ(split.status().code(), phub::Code::invalid_argument);
    EXPECT_NE(split.status().message().find("line 1"), std::string::npos);
  }
  std::remove(path.c_str());
  EXPECT_EQ(load(path, 1).status().code(), phub::Code::not_found);
}

TEST(DigitsTest, TheGradientIsTheSlopeOfTheLoss) {
  const Split split = load_or_die();
  Storage weights, gradient, ignored;
  initialize(weights.tensors, 7);
  std::vector<uint32_t> samples(16);
  std::iota(samples.begin(), samples.end(), 0u);
  compute_gradient(weights.tensors, split.train, samples, 1.0f, gradient.tensors);

  const auto loss_with = [&](float& weight, float value) {
    const float before = std::exchange(weight, value);
    const double loss =
        compute_gradient(weights.tensors, split.train, samples, 1.0f, ignored.tensors);
    weight = before;
    return loss;
  };
  for (size_t tensor = 0; tensor < kTensorCount; ++tensor) {
    const size_t stride = kTensorShapes[tensor].count / 10;
    for (size_t i = 3 * stride / 4; i < kTensorShapes[tensor].count; i += stride) {
      float& weight = weights.tensors[tensor][i];
      constexpr float kStep = 1e-3f;
      const double slope =
          (loss_with(weight, weight + kStep) - loss_with(weight, weight - kStep)) / (2 * kStep);
      EXPECT_NEAR(gradient.tensors[tensor][i], slope, 0.02 + 0.05 * std::abs(slope))
          << kTensorShapes[tensor].name << " " << i;
    }
  }
}

TEST(DigitsTest, TheChecksumSeesEveryWeight) {
  Storage weights;
  initialize(weights.tensors, 7);
  const uint64_t before = checksum(weights.tensors);
  for (size_t tensor = 0; tensor < kTensorCount; ++tensor) {
    float& weight = weights.tensors[tensor].back();
    const float kept = weight;
    weight = std::nextafter(weight, 10.0f);
    EXPECT_NE(checksum(weights.tensors), before);
    weight = kept;
  }
  EXPECT_EQ(checksum(weights.tensors), before);
}

}  // namespace
}  // namespace digits
