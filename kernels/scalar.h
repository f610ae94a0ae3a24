// The oracle: every kernel once more, one element at a time, in plain C++. Slow and obvious; tests
// compare the fast ones with it bit for bit. Same contracts as reduce.h and finish.h.
#pragma once

#include "kernels/finish.h"
#include "kernels/reduce.h"

namespace phub::kernels::scalar {

void fold(DataType type, ReduceOp op, std::span<const void* const> sources, bool carry,
          void* accumulator, size_t count);
void finish(const FinishInput& input);
void copy_out(DataType type, const void* source, std::span<void* const> outputs, size_t count,
              float* weights);
void emit(DataType type, const float* values, std::span<void* const> outputs, size_t count);
double sum_of_squares(const float* accumulator, float scale, size_t count);

float from_fp16(uint16_t bits);
float from_bf16(uint16_t bits);
uint16_t to_fp16(float value);  // Nearest even; overflow to infinity; NaN stays NaN (quiet).
uint16_t to_bf16(float value);  // Likewise.

}  // namespace phub::kernels::scalar
