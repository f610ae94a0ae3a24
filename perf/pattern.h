// Gradients that change every round and whose reduction every rank can compute alone, exactly.
//
// Elements are small integers, a hash of (rank, tensor, round, element): sums are exact in every
// element type, so an order of addition cannot hide a wrong element, and a chunk of another round,
// rank or place differs from the right one in almost every element.
#pragma once

#include <phub/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace phub::perf {

struct Pattern {
  DataType type = DataType::fp32;
  ReduceOp op = ReduceOp::sum;
  uint32_t rank_count = 1;
};

// Where the values come from.
struct PatternKey {
  uint32_t rank = 0;
  uint32_t tensor = 0;
  uint32_t round = 0;
};

// Most ranks whose products stay exact in every type.
constexpr uint32_t kProductRanksMax = 8;

// Writes the elements of a whole tensor.
void fill(const Pattern& pattern, const PatternKey& key, std::span<std::byte> tensor);

// Overwrites results with what no exchange yields: NaN, or a large negative integer.
void poison(DataType type, std::span<std::byte> tensor);

// Knows what the hub must answer. With an optimizer it steps its own copy of the weights with the
// scalar oracle, so it must see every round of every tensor once, in order.
class Verifier {
 public:
  // tensor_counts[i]: elements of tensor i. Weights start as fill() of rank 0, round 0.
  Verifier(const Pattern& pattern, const OptimizerOptions& optimizer,
           std::span<const uint64_t> tensor_counts);

  // Elements of `result` that differ, in any bit, from the reduction (or new weights) of `round`.
  // mean: up to one unit in the last place is allowed, as dividing and multiplying by the inverse
  // are both exact enough.
  uint64_t count_wrong(uint32_t tensor, uint32_t round, std::span<const std::byte> result);

 private:
  struct State {
    std::vector<float> weights, first_moment, second_moment;
    uint64_t step = 0;
  };
  uint64_t count_wrong_block(uint32_t tensor, uint32_t round, uint64_t first, size_t count,
                             const std::byte* result);
  void expect_optimized(State& state, uint64_t first, size_t count);

  Pattern pattern_;
  OptimizerOptions optimizer_;
  std::vector<State> states_;
  std::vector<uint16_t> half_;       // 16-bit encodings of the integers from -half_range_ on.
  std::vector<int32_t> folded_;      // One block of exact reductions.
  std::vector<std::byte> expected_;  // The same in the element type.
};

}  // namespace phub::perf
