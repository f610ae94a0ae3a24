// The vector passes that fold() and finish() are strung together from, each over one run of
// elements. Internal to the room. Every pass takes unaligned pointers, and a run of any length
// gives the same bits as the same elements in runs of other lengths.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/finish.h"
#include "kernels/step_numbers.h"

namespace phub::kernels {

// accumulator[i] = ((carry[i] op) s0[i] op s1[i]) op ...; carry may be null, or equal accumulator.
void fold_from(DataType type, ReduceOp op, std::span<const void* const> sources, const void* carry,
               void* accumulator, size_t count);

// accumulator[i] /= contributor_count: rounded once for floats, toward zero for integers.
void divide(DataType type, void* accumulator, uint32_t contributor_count, size_t count);

// One optimizer step of count elements, in place in the state.
void step(const StepNumbers& numbers, const float* gradient, const OptimizerState& state,
          size_t count);

// wire[i] = values[i] rounded to nearest even. Type fp16 or bf16.
void demote(DataType type, const float* values, void* wire, size_t count);

// Copies bytes that lie in the L1 cache. Non-temporal: whole cache lines go around the cache, the
// ragged ends through it, and the caller fences when all is written.
void copy(const void* from, void* to, size_t bytes, Stores stores);

}  // namespace phub::kernels
