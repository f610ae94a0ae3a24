#include "perf/pattern.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/finish.h"
#include "kernels/scalar.h"

namespace phub::perf {
namespace {

constexpr size_t kBlock = 8192;       // Elements checked at a time: the folds stay in the cache.
constexpr int32_t kHalfRange = 8192;  // |reduction| in 16-bit types, at most.

uint32_t seed_of(const PatternKey& key) {
  uint32_t seed = key.rank * 0x9e3779b1u ^ key.tensor * 0x85ebca77u ^ key.round * 0xc2b2ae3du;
  seed ^= seed >> 15;
  seed *= 0x2c1b3c6du;
  return seed ^ seed >> 13;
}

// -8 to 7; for products 1, 2, -1 or -2.
template <bool is_product>
int32_t value_at(uint32_t seed, uint64_t element) {
  const uint32_t hash = static_cast<uint32_t>(element) * 2654435761u + seed;
  if constexpr (!is_product) return static_cast<int32_t>(hash >> 28) - 8;
  const int32_t magnitude = 1 + static_cast<int32_t>(hash >> 31);
  return (hash >> 30 & 1) != 0 ? -magnitude : magnitude;
}

template <typename T, bool is_product>
void fill_as(uint32_t seed, std::span<std::byte> tensor) {
  T* const out = reinterpret_cast<T*>(tensor.data());
  const size_t count = tensor.size() / sizeof(T);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<T>(value_at<is_product>(seed, i));
}

uint16_t encode16(DataType type, int32_t value) {
  const float number = static_cast<float>(value);
  return type == DataType::fp16 ? kernels::scalar::to_fp16(number)
                                : kernels::scalar::to_bf16(number);
}

template <bool is_product>
void fill16(DataType type, uint32_t seed, std::span<std::byte> tensor) {
  uint16_t codes[17];
  for (int32_t value = -8; value <= 8; ++value) codes[value + 8] = encode16(type, value);
  uint16_t* const out = reinterpret_cast<uint16_t*>(tensor.data());
  for (size_t i = 0; i < tensor.size() / 2; ++i) out[i] = codes[value_at<is_product>(seed, i) + 8];
}

template <bool is_product>
void fill_typed(DataType type, uint32_t seed, std::span<std::byte> tensor) {
  switch (type) {
    case DataType::fp32:
      return fill_as<float, is_product>(seed, tensor);
    case DataType::fp64:
      return fill_as<double, is_product>(seed, tensor);
    case DataType::int32:
      return fill_as<int32_t, is_product>(seed, tensor);
    case DataType::int64:
      return fill_as<int64_t, is_product>(seed, tensor);
    case DataType::fp16:
    case DataType::bf16:
      return fill16<is_product>(type, seed, tensor);
  }
}

template <ReduceOp op>
void fold_rank(uint32_t seed, uint64_t first, bool is_first, std::span<int32_t> folded) {
  for (size_t i = 0; i < folded.size(); ++i) {
    const int32_t value = value_at<op == ReduceOp::product>(seed, first + i);
    const int32_t old = folded[i];
    int32_t next = value;
    if constexpr (op == ReduceOp::sum) next = old + value;
    if constexpr (op == ReduceOp::min) next = std::min(old, value);
    if constexpr (op == ReduceOp::max) next = std::max(old, value);
    if constexpr (op == ReduceOp::product) next = old * value;
    folded[i] = is_first ? value : next;
  }
}

void fold_ranks(const Pattern& pattern, PatternKey key, uint64_t first, std::span<int32_t> folded) {
  for (key.rank = 0; key.rank < pattern.rank_count; ++key.rank) {
    const uint32_t seed = seed_of(key);
    const bool is_first = key.rank == 0;
    switch (pattern.op) {
      case ReduceOp::sum:
      case ReduceOp::mean:
        fold_rank<ReduceOp::sum>(seed, first, is_first, folded);
        break;
      case ReduceOp::min:
        fold_rank<ReduceOp::min>(seed, first, is_first, folded);
        break;
      case ReduceOp::max:
        fold_rank<ReduceOp::max>(seed, first, is_first, folded);
        break;
      case ReduceOp::product:
        fold_rank<ReduceOp::product>(seed, first, is_first, folded);
        break;
    }
  }
}

template <typename T>
void encode_as(std::span<const int32_t> folded, int32_t divisor, std::byte* out) {
  T* const typed = reinterpret_cast<T*>(out);
  if (divisor == 1) {
    for (size_t i = 0; i < folded.size(); ++i) typed[i] = static_cast<T>(folded[i]);
  } else {
    for (size_t i = 0; i < folded.size(); ++i) {
      typed[i] = static_cast<T>(static_cast<T>(folded[i]) / static_cast<T>(divisor));
    }
  }
}

// Differing elements; neighbours in the order of bit patterns are equal within `slack`.
template <typename Bits>
uint64_t count_different(const std::byte* expected, const std::byte* result, size_t count,
                         Bits slack) {
  const Bits* const a = reinterpret_cast<const Bits*>(expected);
  const Bits* const b = reinterpret_cast<const Bits*>(result);
  uint64_t wrong = 0;
  for (size_t i = 0; i < count; ++i) {
    const Bits distance = static_cast<Bits>(a[i] - b[i] + slack);
    wrong += distance > static_cast<Bits>(2 * slack) ? 1 : 0;
  }
  return wrong;
}

}  // namespace

void fill(const Pattern& pattern, const PatternKey& key, std::span<std::byte> tensor) {
  if (pattern.op == ReduceOp::product) return fill_typed<true>(pattern.type, seed_of(key), tensor);
  fill_typed<false>(pattern.type, seed_of(key), tensor);
}

void poison(DataType type, std::span<std::byte> tensor) {
  const bool is_integer = type == DataType::int32 || type == DataType::int64;
  std::memset(tensor.data(), is_integer ? 0xC3 : 0xFF, tensor.size());
}

Verifier::Verifier(const Pattern& pattern, const OptimizerOptions& optimizer,
                   std::span<const uint64_t> tensor_counts)
    : pattern_(pattern), optimizer_(optimizer), folded_(kBlock), expected_(kBlock * 8) {
  PHUB_CHECK(pattern.op != ReduceOp::product || pattern.rank_count <= kProductRanksMax);
  PHUB_CHECK(pattern.rank_count <= kRankCountMax);
  if (size_of(pattern.type) == 2) {
    half_.resize(2 * kHalfRange + 1);
    const float divisor = pattern.op == ReduceOp::mean ? static_cast<float>(pattern.rank_count) : 1;
    for (int32_t value = -kHalfRange; value <= kHalfRange; ++value) {
      const float number = static_cast<float>(value) / divisor;
      half_[static_cast<size_t>(value + kHalfRange)] = pattern.type == DataType::fp16
                                                           ? kernels::scalar::to_fp16(number)
                                                           : kernels::scalar::to_bf16(number);
    }
  }
  if (optimizer.kind == OptimizerKind::none) return;
  states_.resize(tensor_counts.size());
  for (size_t i = 0; i < tensor_counts.size(); ++i) {
    State& state = states_[i];
    state.weights.resize(tensor_counts[i]);
    state.first_moment.resize(tensor_counts[i]);
    state.second_moment.resize(tensor_counts[i]);
    const PatternKey initial{0, static_cast<uint32_t>(i), 0};
    fill({DataType::fp32, pattern.op, 1}, initial,
         std::as_writable_bytes(std::span(state.weights)));
  }
}

// expected_ = the new weights of a block, from the exact sums in folded_.
void Verifier::expect_optimized(State& state, uint64_t first, size_t count) {
  std::vector<float> accumulator(folded_.begin(), folded_.begin() + static_cast<int64_t>(count));
  void* const outputs[] = {expected_.data()};
  kernels::FinishInput input;
  input.type = pattern_.type;
  input.op = pattern_.op;
  input.accumulator = accumulator.data();
  input.contributor_count = pattern_.rank_count;
  input.step.options = optimizer_;
  input.step.step = state.step;
  input.state = {state.weights.data() + first, state.first_moment.data() + first,
                 state.second_moment.data() + first};
  input.outputs = outputs;
  input.count = count;
  kernels::scalar::finish(input);
}

uint64_t Verifier::count_wrong_block(uint32_t tensor, uint32_t round, uint64_t first, size_t count,
                                     const std::byte* result) {
  const std::span<int32_t> folded(folded_.data(), count);
  fold_ranks(pattern_, {0, tensor, round}, first, folded);
  const bool is_optimized = optimizer_.kind != OptimizerKind::none;
  const bool is_mean = pattern_.op == ReduceOp::mean;
  const uint8_t slack = is_mean && !is_optimized ? 1 : 0;
  const int32_t divisor = is_mean ? static_cast<int32_t>(pattern_.rank_count) : 1;
  if (is_optimized) expect_optimized(states_[tensor], first, count);
  std::byte* const expected = expected_.data();
  switch (pattern_.type) {
    case DataType::fp32:
      if (!is_optimized) encode_as<float>(folded, divisor, expected);
      return count_different<uint32_t>(expected, result, count, slack);
    case DataType::fp64:
      encode_as<double>(folded, divisor, expected);
      return count_different<uint64_t>(expected, result, count, slack);
    case DataType::int32:
      encode_as<int32_t>(folded, divisor, expected);
      return count_different<uint32_t>(expected, result, count, 0);
    case DataType::int64:
      encode_as<int64_t>(folded, divisor, expected);
      return count_different<uint64_t>(expected, result, count, 0);
    case DataType::fp16:
    case DataType::bf16:
      if (!is_optimized) {
        uint16_t* const typed = reinterpret_cast<uint16_t*>(expected);
        for (size_t i = 0; i < count; ++i) {
          typed[i] = half_[static_cast<size_t>(folded[i] + kHalfRange)];
        }
      }
      return count_different<uint16_t>(expected, result, count, slack);
  }
  return count;
}

uint64_t Verifier::count_wrong(uint32_t tensor, uint32_t round, std::span<const std::byte> result) {
  const size_t element_bytes = size_of(pattern_.type);
  const uint64_t total = result.size() / element_bytes;
  if (optimizer_.kind != OptimizerKind::none) ++states_[tensor].step;
  uint64_t wrong = 0;
  for (uint64_t first = 0; first < total; first += kBlock) {
    const size_t count = std::min<uint64_t>(kBlock, total - first);
    wrong += count_wrong_block(tensor, round, first, count, result.data() + first * element_bytes);
  }
  return wrong;
}

}  // namespace phub::perf
