// Sums and their kin: N sources become one accumulator, as a strict left fold in source order.
//
// Elements are independent, so results are bit-identical whatever the block boundaries and the
// instruction set. NaN: a sum or product with one is NaN, with what payload depends on the set. min
// and max give NaN if any source has one, as PyTorch does; of -0 and +0 the first stays, since
// neither is smaller. Accumulators: float for fp32, fp16 and bf16; double for fp64; the integer
// itself for int32 and int64. mean folds as sum: the division belongs to the end (finish.h).
// Several sources per pass: reading k sources costs k loads and one store, where adding one by one
// costs 2k loads and k stores (measured, DRAM, one core: 34 GB/s of sources against 20).
#pragma once

#include <phub/types.h>

#include <cstddef>
#include <span>

#include "kernels/isa.h"

namespace phub::kernels {

constexpr size_t kFoldSourcesMax = 8;

// Bytes of one accumulator element for sources of `type`.
constexpr size_t accumulator_size(DataType type) {
  return type == DataType::fp64 || type == DataType::int64 ? 8 : 4;
}

// accumulator[i] = ((carry? accumulator[i] op) s0[i] op s1[i]) op ... for i < count.
//   sources      1 to kFoldSourcesMax pointers to `count` elements of `type`, any alignment.
//   accumulator  count elements of accumulator_size(type) bytes, any alignment. Without carry it
//   may be a source
//                when both have the same element size; otherwise it overlaps none.
//   carry        the accumulator already holds the fold of earlier ranks.
void fold(DataType type, ReduceOp op, std::span<const void* const> sources, bool carry,
          void* accumulator, size_t count);

}  // namespace phub::kernels
