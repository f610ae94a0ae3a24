#include "network.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "random.h"

namespace digits {
namespace {

enum { kHiddenWeight, kHiddenBias, kOutputWeight, kOutputBias };

struct Activations {
  std::array<float, kHiddenCount> hidden;        // After ReLU.
  std::array<float, kClassCount> probabilities;  // After softmax.
};

void softmax(std::array<float, kClassCount>& values) {
  const float largest = *std::max_element(values.begin(), values.end());
  float sum = 0;
  for (float& value : values) sum += value = std::exp(value - largest);
  for (float& value : values) value /= sum;
}

void forward(const Tensors& weights, const float* image, Activations& out) {
  for (size_t h = 0; h < kHiddenCount; ++h) {
    const float* const row = weights[kHiddenWeight].data() + h * kPixelCount;
    float sum = weights[kHiddenBias][h];
    for (size_t p = 0; p < kPixelCount; ++p) sum += row[p] * image[p];
    out.hidden[h] = std::max(sum, 0.0f);
  }
  for (size_t c = 0; c < kClassCount; ++c) {
    const float* const row = weights[kOutputWeight].data() + c * kHiddenCount;
    float sum = weights[kOutputBias][c];
    for (size_t h = 0; h < kHiddenCount; ++h) sum += row[h] * out.hidden[h];
    out.probabilities[c] = sum;
  }
  softmax(out.probabilities);
}

// Adds one image's gradient, times scale.
void backward(const Tensors& weights, const float* image, uint8_t label, const Activations& at,
              float scale, const Tensors& gradient) {
  std::array<float, kHiddenCount> hidden_error{};
  for (size_t c = 0; c < kClassCount; ++c) {
    const float error = (at.probabilities[c] - (c == label ? 1.0f : 0.0f)) * scale;
    const float* const row = weights[kOutputWeight].data() + c * kHiddenCount;
    float* const row_gradient = gradient[kOutputWeight].data() + c * kHiddenCount;
    gradient[kOutputBias][c] += error;
    for (size_t h = 0; h < kHiddenCount; ++h) {
      row_gradient[h] += error * at.hidden[h];
      hidden_error[h] += error * row[h];
    }
  }
  for (size_t h = 0; h < kHiddenCount; ++h) {
    if (at.hidden[h] <= 0) continue;  // ReLU was closed: nothing flows back.
    float* const row_gradient = gradient[kHiddenWeight].data() + h * kPixelCount;
    gradient[kHiddenBias][h] += hidden_error[h];
    for (size_t p = 0; p < kPixelCount; ++p) row_gradient[p] += hidden_error[h] * image[p];
  }
}

}  // namespace

void initialize(const Tensors& weights, uint64_t seed) {
  Random random(seed);
  const auto fill = [&](std::span<float> values, size_t input_count) {
    const float bound = std::sqrt(6.0f / static_cast<float>(input_count));
    for (float& value : values) value = random.symmetric(bound);
  };
  fill(weights[kHiddenWeight], kPixelCount);
  fill(weights[kOutputWeight], kHiddenCount);
  std::ranges::fill(weights[kHiddenBias], 0.0f);
  std::ranges::fill(weights[kOutputBias], 0.0f);
}

double compute_gradient(const Tensors& weights, const Dataset& data,
                        std::span<const uint32_t> samples, float scale, const Tensors& gradient) {
  for (const std::span<float> tensor : gradient) std::ranges::fill(tensor, 0.0f);
  double loss = 0;
  Activations activations;
  for (const uint32_t sample : samples) {
    forward(weights, data.image(sample), activations);
    backward(weights, data.image(sample), data.labels[sample], activations, scale, gradient);
    loss -= std::log(std::max(activations.probabilities[data.labels[sample]], 1e-30f));
  }
  return loss;
}

double accuracy(const Tensors& weights, const Dataset& data) {
  size_t right_count = 0;
  Activations activations;
  for (size_t i = 0; i < data.size(); ++i) {
    forward(weights, data.image(i), activations);
    const auto& classes = activations.probabilities;
    const auto best = std::max_element(classes.begin(), classes.end()) - classes.begin();
    right_count += best == data.labels[i];
  }
  return static_cast<double>(right_count) / static_cast<double>(data.size());
}

uint64_t checksum(const Tensors& weights) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const std::span<float> tensor : weights) {
    for (const float value : tensor) {
      hash = (hash ^ std::bit_cast<uint32_t>(value)) * 0x100000001b3u;
    }
  }
  return hash;
}

}  // namespace digits
