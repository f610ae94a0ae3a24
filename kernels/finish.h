// The last pass over a chunk: fold the remaining ranks, finish (mean, scale, optimizer), and
// write the result to every rank, in one walk through memory.
//
// The walk goes in blocks that stay in the L1 cache, so each source is read once and each result
// written once: N reads and N writes per element, the bound of a central hub. Source of the fused
// pass: Parameter Hub's tall aggregation (its code made two passes; this is one).
#pragma once

#include <phub/types.h>

#include <cstddef>
#include <span>

namespace phub::kernels {

// How results are written. A policy of the hub, measured by `phub-perf exchange --stores`.
enum class Stores : uint8_t {
  ordinary,      // Through the cache: for results that the same core reads soon.
  non_temporal,  // Around the cache: for results that leave. fence() before they are published.
};

// One optimizer step's numbers, the same for all elements. `step` counts from 1 and only steps that
// were taken: at step 1 the velocity of momentum becomes the gradient, later ones use the velocity
// in the state (which a checkpoint may have brought back). skip reads neither sources nor moments.
struct StepInput {
  OptimizerOptions options;     // kind none: no step.
  float gradient_scale = 1.0f;  // Applied to the reduced gradient before everything else.
  bool skip = false;            // Leave weights and moments; hand out the weights as they are.
  uint64_t step = 1;
};

// Hub-held float32 state of the chunk; null where the optimizer has none.
struct OptimizerState {
  float* weights = nullptr;
  float* first_moment = nullptr;   // momentum, nesterov: the velocity. adam, adamw: m.
  float* second_moment = nullptr;  // adam, adamw: v.
};

struct FinishInput {
  DataType type = DataType::fp32;  // Of sources and outputs.
  ReduceOp op = ReduceOp::sum;
  std::span<const void* const> sources;  // 0 to kFoldSourcesMax; 0 needs an accumulator.
  void* accumulator = nullptr;           // The fold of earlier ranks, or null. Not written.
  uint32_t contributor_count = 1;        // mean divides by this.
  StepInput step;
  OptimizerState state;
  std::span<void* const> outputs;  // 0 or more; may equal sources (same index, same alignment).
  size_t count = 0;
  Stores stores = Stores::non_temporal;
};

// outputs[j][i] = finish(fold(accumulator, sources)[i]) for all j, i < count; the state is stepped.
//   mean     the sum divided by contributor_count: floats in the accumulator's type, rounded once;
//            integers toward zero.
//   step     on the reduced gradient times gradient_scale, all in float32, each operation rounded
//            once and none fused. Without an optimizer gradient_scale is ignored.
//   outputs  the reduction, or with an optimizer the new weights; 16-bit ones rounded to nearest
//            even. Any alignment; whole cache lines leave best from 64-byte boundaries.
void finish(const FinishInput& input);

// outputs[j][i] = source[i], bit for bit: broadcast. An output may be the source itself. With
// weights (fp32, fp16, bf16 only), weights[i] = source[i] as float32.
void copy_out(DataType type, const void* source, std::span<void* const> outputs, size_t count,
              Stores stores, float* weights);

// Converts float32 state to `type` (fp32, fp16, bf16) into every output: the answer to a pull.
void emit(DataType type, const float* values, std::span<void* const> outputs, size_t count,
          Stores stores);

// Makes the results of all earlier finish(), copy_out() and emit() visible before whatever the
// caller publishes next. Waits for the stores to drain, so: once for many chunks.
void fence(Stores stores);

// The fp64 sum of squares of accumulator[i] * scale (each product rounded to float32 first), added
// in element order within 64 interleaved lanes and then lane order: the same on every instruction
// set.
double sum_of_squares(const float* accumulator, float scale, size_t count);

}  // namespace phub::kernels
