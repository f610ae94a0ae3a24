#include "kernels/scalar.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "kernels/step_numbers.h"

namespace phub::kernels::scalar {
namespace {

template <typename T>
T read(const void* base, size_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(base) + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void write(void* base, size_t index, T value) {
  std::memcpy(static_cast<char*>(base) + index * sizeof(T), &value, sizeof(T));
}

// Each type: the lane its sums are made in, and the way from and to memory.
template <DataType type>
struct Element;

template <typename T>
struct PlainElement {
  using Lane = T;
  static T load(const void* base, size_t index) { return read<T>(base, index); }
  static void store(void* base, size_t index, T value) { write(base, index, value); }
};
template <>
struct Element<DataType::fp32> : PlainElement<float> {};
template <>
struct Element<DataType::fp64> : PlainElement<double> {};
template <>
struct Element<DataType::int32> : PlainElement<int32_t> {};
template <>
struct Element<DataType::int64> : PlainElement<int64_t> {};
template <>
struct Element<DataType::fp16> {
  using Lane = float;
  static float load(const void* base, size_t i) { return from_fp16(read<uint16_t>(base, i)); }
  static void store(void* base, size_t i, float value) { write(base, i, to_fp16(value)); }
};
template <>
struct Element<DataType::bf16> {
  using Lane = float;
  static float load(const void* base, size_t i) { return from_bf16(read<uint16_t>(base, i)); }
  static void store(void* base, size_t i, float value) { write(base, i, to_bf16(value)); }
};

// body(Element<type>()), for a type known only at run time.
template <typename Body>
void with_element(DataType type, Body body) {
  switch (type) {
    case DataType::fp32:
      return body(Element<DataType::fp32>());
    case DataType::fp16:
      return body(Element<DataType::fp16>());
    case DataType::bf16:
      return body(Element<DataType::bf16>());
    case DataType::fp64:
      return body(Element<DataType::fp64>());
    case DataType::int32:
      return body(Element<DataType::int32>());
    case DataType::int64:
      return body(Element<DataType::int64>());
  }
}

template <typename T>
T combine(ReduceOp op, T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using Wrapping = std::make_unsigned_t<T>;
    const Wrapping ua = static_cast<Wrapping>(a), ub = static_cast<Wrapping>(b);
    if (op == ReduceOp::min) return b < a ? b : a;
    if (op == ReduceOp::max) return b > a ? b : a;
    return static_cast<T>(op == ReduceOp::product ? ua * ub : ua + ub);
  } else {
    if (op == ReduceOp::min) return b < a || std::isnan(b) ? b : a;
    if (op == ReduceOp::max) return b > a || std::isnan(b) ? b : a;
    return op == ReduceOp::product ? a * b : a + b;
  }
}

// Element i of the fold; carry may be null.
template <typename E>
typename E::Lane folded(E, ReduceOp op, std::span<const void* const> sources, const void* carry,
                        size_t i) {
  using Lane = typename E::Lane;
  const bool carries = carry != nullptr;
  Lane value = carries ? read<Lane>(carry, i) : E::load(sources[0], i);
  for (size_t k = carries ? 0 : 1; k < sources.size(); ++k) {
    value = combine(op, value, E::load(sources[k], i));
  }
  return value;
}

template <typename Lane>
Lane divided(Lane value, uint32_t divisor) {
  if constexpr (std::is_integral_v<Lane>) {
    return static_cast<Lane>(value / int64_t{divisor});
  } else {
    return value / static_cast<Lane>(divisor);
  }
}

void step_adam(const StepNumbers& n, float g, const OptimizerState& state, size_t i) {
  float& weight = state.weights[i];
  float& m = state.first_moment[i];
  float& v = state.second_moment[i];
  if (n.kind == OptimizerKind::adamw) {
    weight = weight * n.keep;
  } else if (n.decays) {
    g = g + weight * n.weight_decay;
  }
  m = n.beta1 * m + n.take1 * g;
  v = n.beta2 * v + n.take2 * (g * g);
  weight = weight - n.step_size * (m / (std::sqrt(v) * n.root_scale + n.epsilon));
}

void step_momentum(const StepNumbers& n, float g, const OptimizerState& state, size_t i) {
  float& weight = state.weights[i];
  float& velocity = state.first_moment[i];
  if (n.decays) g = g + weight * n.weight_decay;
  velocity = n.first ? g : n.momentum * velocity + n.take * g;
  const float move = n.kind == OptimizerKind::nesterov ? g + n.momentum * velocity : velocity;
  weight = weight - n.learning_rate * move;
}

void step_element(const StepNumbers& n, float gradient, const OptimizerState& state, size_t i) {
  const float g = gradient * n.scale;
  switch (n.kind) {
    case OptimizerKind::none:
      return;
    case OptimizerKind::sgd: {
      float& weight = state.weights[i];
      const float decayed = n.decays ? g + weight * n.weight_decay : g;
      weight = weight - n.learning_rate * decayed;
      return;
    }
    case OptimizerKind::momentum:
    case OptimizerKind::nesterov:
      return step_momentum(n, g, state, i);
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return step_adam(n, g, state, i);
  }
}

// Element i of finish(): what goes to every output. The state is stepped.
template <typename E>
typename E::Lane finished(E element, const FinishInput& input, const StepNumbers& numbers,
                          size_t i) {
  using Lane = typename E::Lane;
  const bool optimizes = numbers.kind != OptimizerKind::none;
  if (optimizes && input.step.skip) return static_cast<Lane>(input.state.weights[i]);
  Lane value = folded(element, input.op, input.sources, input.accumulator, i);
  if (input.op == ReduceOp::mean) value = divided(value, input.contributor_count);
  if (!optimizes) return value;
  step_element(numbers, static_cast<float>(value), input.state, i);
  return static_cast<Lane>(input.state.weights[i]);
}

}  // namespace

void fold(DataType type, ReduceOp op, std::span<const void* const> sources, bool carry,
          void* accumulator, size_t count) {
  with_element(type, [&](auto element) {
    for (size_t i = 0; i < count; ++i) {
      write(accumulator, i, folded(element, op, sources, carry ? accumulator : nullptr, i));
    }
  });
}

void finish(const FinishInput& input) {
  const StepNumbers numbers = step_numbers(input.step);
  with_element(input.type, [&](auto element) {
    for (size_t i = 0; i < input.count; ++i) {
      const auto value = finished(element, input, numbers, i);
      for (void* const output : input.outputs) element.store(output, i, value);
    }
  });
}

void copy_out(DataType type, const void* source, std::span<void* const> outputs, size_t count,
              float* weights) {
  for (void* const output : outputs) std::memmove(output, source, count * size_of(type));
  if (weights == nullptr) return;
  with_element(type, [&](auto element) {
    for (size_t i = 0; i < count; ++i) weights[i] = static_cast<float>(element.load(source, i));
  });
}

void emit(DataType type, const float* values, std::span<void* const> outputs, size_t count) {
  with_element(type, [&](auto element) {
    for (size_t i = 0; i < count; ++i) {
      using Lane = typename decltype(element)::Lane;
      for (void* const output : outputs) element.store(output, i, static_cast<Lane>(values[i]));
    }
  });
}

double sum_of_squares(const float* accumulator, float scale, size_t count) {
  double lanes[64] = {};
  for (size_t i = 0; i < count; ++i) {
    const float scaled = accumulator[i] * scale;
    lanes[i % 64] += double{scaled} * double{scaled};
  }
  double total = 0;
  for (const double lane : lanes) total += lane;
  return total;
}

float from_fp16(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16;
  const uint32_t exponent = bits >> 10 & 31u;
  const uint32_t mantissa = bits & 0x3FFu;
  if (exponent == 31) {
    const uint32_t quiet = mantissa != 0 ? 0x00400000u : 0;
    return std::bit_cast<float>(sign | 0x7F800000u | quiet | mantissa << 13);
  }
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1.0p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

float from_bf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

uint16_t to_fp16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) {
    return static_cast<uint16_t>(sign | 0x7E00u | (magnitude >> 13 & 0x3FFu));
  }
  const int exponent = static_cast<int>(magnitude >> 23) - 127;
  if (exponent > 15) return static_cast<uint16_t>(sign | 0x7C00u);
  if (exponent < -25) return static_cast<uint16_t>(sign);
  // Keep the places of an fp16; below 2^-14 they end at 2^-24.
  const bool denormal = exponent < -14;
  const uint32_t shift = denormal ? static_cast<uint32_t>(-1 - exponent) : 13;
  const uint32_t mantissa = (magnitude & 0x7FFFFFu) | 0x800000u;
  const uint32_t kept = mantissa >> shift;
  const uint32_t rest = mantissa & ((1u << shift) - 1);
  const uint32_t half = 1u << (shift - 1);
  const bool up = rest > half || (rest == half && (kept & 1) != 0);
  // Without its leading 1, which the exponent holds; a carry moves on into the exponent.
  const uint32_t base = denormal ? kept : (static_cast<uint32_t>(exponent + 14) << 10) + kept;
  return static_cast<uint16_t>(sign | (base + (up ? 1 : 0)));
}

uint16_t to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  const uint32_t kept = bits >> 16;
  const uint32_t rest = bits & 0xFFFFu;
  const bool up = rest > 0x8000u || (rest == 0x8000u && (kept & 1) != 0);
  return static_cast<uint16_t>(kept + (up ? 1 : 0));
}

}  // namespace phub::kernels::scalar
