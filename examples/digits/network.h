// A multi-layer perceptron, 64 - 128 - 10: ReLU in the middle, softmax and cross-entropy at the
// end. Functions on spans: who owns weights and gradients (a vector, or the hub's memory) is the
// caller's business. Every sum has a fixed order, so equal inputs give equal bits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataset.h"

namespace digits {

constexpr size_t kHiddenCount = 128;

struct TensorShape {
  const char* name;
  size_t count;
};
constexpr std::array<TensorShape, 4> kTensorShapes = {{
    {"hidden.weight", kHiddenCount* kPixelCount},  // [hidden][pixel]
    {"hidden.bias", kHiddenCount},
    {"output.weight", kClassCount* kHiddenCount},  // [class][hidden]
    {"output.bias", kClassCount},
}};
constexpr size_t kTensorCount = kTensorShapes.size();

// One span for each of kTensorShapes.
using Tensors = std::array<std::span<float>, kTensorCount>;

// He's initialization: uniform in +-sqrt(6 / inputs), biases zero.
void initialize(const Tensors& weights, uint64_t seed);

// Overwrites `gradient` with the sum over `samples` (indices into `data`) of the gradient of the
// loss, times `scale`. Returns the sum of the losses.
double compute_gradient(const Tensors& weights, const Dataset& data,
                        std::span<const uint32_t> samples, float scale, const Tensors& gradient);

// The share of images whose most likely class is their label, 0 to 1.
double accuracy(const Tensors& weights, const Dataset& data);

// FNV-1a over the bits of all weights: equal exactly when (but for chance) the weights are.
uint64_t checksum(const Tensors& weights);

}  // namespace digits
