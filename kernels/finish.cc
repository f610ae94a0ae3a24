#include "kernels/finish.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/passes.h"
#include "kernels/scalar.h"

namespace phub::kernels {
namespace {

// Elements per block: 2 KiB of float32. Small blocks keep the loads of one block in flight beside
// the stores of the one before. Measured from memory, N fp32 sources to N outputs by non-temporal
// stores, against blocks of 2,048 elements (EPYC Milan, one core, best of 7): 1.19 times for N = 2
// and for N = 4; 256 elements gain 1.02 and 1.09 more there, but cost 8 % where an optimizer works
// in the cache. A loop that only sums and streams (perf/roof_loops.h) is no faster: this walk needs
// no special case for plain sums. Ordinary stores instead: 0.75 (N = 2) and 0.71 (N = 4).
constexpr size_t kBlockElements = 512;

std::byte* at(void* base, size_t bytes) { return static_cast<std::byte*>(base) + bytes; }
const std::byte* at(const void* base, size_t bytes) {
  return static_cast<const std::byte*>(base) + bytes;
}

bool is_half(DataType type) { return type == DataType::fp16 || type == DataType::bf16; }

// `values` (accumulators of `count` elements) into elements [first, first + count) of all outputs.
void write_block(DataType type, const void* values, std::span<void* const> outputs, size_t first,
                 size_t count, Stores stores) {
  alignas(64) std::array<uint16_t, kBlockElements> halves;
  if (is_half(type) && !outputs.empty()) {
    demote(type, static_cast<const float*>(values), halves.data(), count);
    values = halves.data();
  }
  const size_t element_bytes = size_of(type);
  for (void* const output : outputs) {
    copy(values, at(output, first * element_bytes), count * element_bytes, stores);
  }
}

// The reduced (and for mean divided) elements [first, first + count), into `values`.
void reduce_block(const FinishInput& input, size_t first, size_t count, void* values) {
  std::array<const void*, kFoldSourcesMax> sources;
  for (size_t k = 0; k < input.sources.size(); ++k) {
    sources[k] = at(input.sources[k], first * size_of(input.type));
  }
  const void* const carry = input.accumulator == nullptr
                                ? nullptr
                                : at(input.accumulator, first * accumulator_size(input.type));
  fold_from(input.type, input.op, {sources.data(), input.sources.size()}, carry, values, count);
  if (input.op == ReduceOp::mean) divide(input.type, values, input.contributor_count, count);
}

OptimizerState state_at(const OptimizerState& state, size_t first) {
  const auto from = [first](float* base) { return base == nullptr ? nullptr : base + first; };
  return {from(state.weights), from(state.first_moment), from(state.second_moment)};
}

void check_input(const FinishInput& input) {
  PHUB_DCHECK(input.sources.size() <= kFoldSourcesMax);
  PHUB_DCHECK(!input.sources.empty() || input.accumulator != nullptr ||
              (input.step.skip && input.state.weights != nullptr));
  PHUB_DCHECK(input.contributor_count >= 1);
  PHUB_DCHECK(input.step.options.kind == OptimizerKind::none ||
              (input.state.weights != nullptr && accumulator_size(input.type) == 4 &&
               input.type != DataType::int32));
  static_cast<void>(input);
}

}  // namespace

void finish(const FinishInput& input) {
  check_input(input);
  if (oracle_forced()) return scalar::finish(input);
  alignas(64) std::array<std::byte, kBlockElements * 8> values;  // The widest accumulator is 8.
  const StepNumbers numbers = step_numbers(input.step);
  const bool optimizes = numbers.kind != OptimizerKind::none;
  for (size_t first = 0; first < input.count; first += kBlockElements) {
    const size_t count = std::min(kBlockElements, input.count - first);
    const void* result = values.data();
    if (!optimizes || !input.step.skip) reduce_block(input, first, count, values.data());
    if (optimizes) {
      const OptimizerState state = state_at(input.state, first);
      const float* const gradient = reinterpret_cast<const float*>(values.data());
      if (!input.step.skip) step(numbers, gradient, state, count);
      result = state.weights;
    }
    write_block(input.type, result, input.outputs, first, count, input.stores);
  }
}

void copy_out(DataType type, const void* source, std::span<void* const> outputs, size_t count,
              Stores stores, float* weights) {
  if (oracle_forced()) return scalar::copy_out(type, source, outputs, count, weights);
  const size_t element_bytes = size_of(type);
  for (size_t first = 0; first < count; first += kBlockElements) {
    const size_t run = std::min(kBlockElements, count - first);
    const void* const from = at(source, first * element_bytes);
    if (weights != nullptr) {
      fold_from(type, ReduceOp::sum, {&from, 1}, nullptr, weights + first, run);
    }
    for (void* const output : outputs) {
      if (output == source) continue;
      copy(from, at(output, first * element_bytes), run * element_bytes, stores);
    }
  }
}

void emit(DataType type, const float* values, std::span<void* const> outputs, size_t count,
          Stores stores) {
  PHUB_DCHECK(type == DataType::fp32 || is_half(type));
  if (oracle_forced()) return scalar::emit(type, values, outputs, count);
  for (size_t first = 0; first < count; first += kBlockElements) {
    const size_t run = std::min(kBlockElements, count - first);
    write_block(type, values + first, outputs, first, run, stores);
  }
}

}  // namespace phub::kernels
