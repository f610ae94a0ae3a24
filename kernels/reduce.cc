#include "kernels/reduce.h"

#include "base/check.h"
#include "kernels/passes.h"
#include "kernels/scalar.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce.cc"
#include <hwy/foreach_target.h>  // Compiles the rest of this file once per instruction set.
#include <hwy/highway.h>

#include "kernels/codec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace phub::kernels::HWY_NAMESPACE {

struct Sum {
  template <class D, class V>
  static HWY_INLINE V apply(D /*d*/, V a, V b) {
    return hn::Add(a, b);
  }
};

// Left where neither is smaller and right is a number, so -0 and +0 keep the first; a NaN stays.
// (IsNaN and not b != b: Highway 1.0.3's comparison is ordered on AVX2, hence false for NaN.)
struct Min {
  template <class D, class V>
  static HWY_INLINE V apply(D /*d*/, V a, V b) {
    if constexpr (hwy::IsFloat<hn::TFromD<D>>()) {
      return hn::IfThenElse(hn::Or(hn::Lt(b, a), hn::IsNaN(b)), b, a);
    } else {
      return hn::Min(a, b);
    }
  }
};

struct Max {
  template <class D, class V>
  static HWY_INLINE V apply(D /*d*/, V a, V b) {
    if constexpr (hwy::IsFloat<hn::TFromD<D>>()) {
      return hn::IfThenElse(hn::Or(hn::Lt(a, b), hn::IsNaN(b)), b, a);
    } else {
      return hn::Max(a, b);
    }
  }
};

// The lower 64 bits of 64-bit products.
#if HWY_TARGET == HWY_SCALAR
template <class D, class V>
HWY_INLINE V product64(D d, V a, V b) {
  return hn::Set(d, hn::GetLane(a) * hn::GetLane(b));
}
#else
// No set below AVX-512 multiplies 64 bits; three 32-bit products do.
template <class D, class V>
HWY_INLINE V product64(D d, V a, V b) {
  const hn::Repartition<uint32_t, D> d32;
  const auto a_low = hn::BitCast(d32, a);
  const auto b_low = hn::BitCast(d32, b);
  const auto a_high = hn::BitCast(d32, hn::ShiftRight<32>(a));
  const auto b_high = hn::BitCast(d32, hn::ShiftRight<32>(b));
  const auto cross = hn::Add(hn::MulEven(a_high, b_low), hn::MulEven(a_low, b_high));
  return hn::BitCast(d, hn::Add(hn::MulEven(a_low, b_low), hn::ShiftLeft<32>(cross)));
}
#endif

struct Product {
  template <class D, class V>
  static HWY_INLINE V apply(D d, V a, V b) {
    if constexpr (hwy::IsSame<hn::TFromD<D>, uint64_t>()) {
      return product64(d, a, b);
    } else {
      static_cast<void>(d);
      return hn::Mul(a, b);
    }
  }
};

struct Fold {
  const void* const* sources;
  size_t source_count;
  const void* carry;
  void* accumulator;
};

// The ragged end of a run, lane by lane: only a tensor's last chunk has one, so it gets no vectors.
template <class Codec, class Op, class D>
HWY_INLINE void fold_one(D d, const Fold& f, size_t i) {
  using Lane = typename Codec::Lane;
  const bool carries = f.carry != nullptr;
  auto a = carries ? Plain<Lane>::load(d, f.carry, i) : Codec::load(d, f.sources[0], i);
  for (size_t k = carries ? 0 : 1; k < f.source_count; ++k) {
    a = Op::apply(d, a, Codec::load(d, f.sources[k], i));
  }
  store_any(d, a, f.accumulator, i);
}

// Four vectors side by side hide the latency of the adder and the cost of the inner loop, which
// makes one loop do for any number of sources. Bound: loads. Against a loop that only loads the
// same bytes (AVX2, one core of an EPYC Milan, best of 12): 8 fp32 sources of 32 KiB in the L2
// cache 0.88, where the accumulator adds one byte stored to eight loaded; from DRAM 0.97.
template <class Codec, class Op, class D>
HWY_INLINE void fold_four(D d, const Fold& f, size_t i) {
  const bool carries = f.carry != nullptr;
  auto a = hn::Zero(d), b = a, c = a, e = a;
  if (carries) {
    Codec::carry_four(d, f.carry, i, a, b, c, e);
  } else {
    Codec::load_four(d, f.sources[0], i, a, b, c, e);
  }
  for (size_t k = carries ? 0 : 1; k < f.source_count; ++k) {
    auto a1 = a, b1 = b, c1 = c, e1 = e;
    Codec::load_four(d, f.sources[k], i, a1, b1, c1, e1);
    a = Op::apply(d, a, a1);
    b = Op::apply(d, b, b1);
    c = Op::apply(d, c, c1);
    e = Op::apply(d, e, e1);
  }
  Codec::store_four(d, f.accumulator, i, a, b, c, e);
}

template <class Codec, class Op>
void fold_as(const Fold& f, size_t count) {
  const hn::ScalableTag<typename Codec::Lane> d;
  const hn::CappedTag<typename Codec::Lane, 1> one;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) fold_four<Codec, Op>(d, f, i);
  for (; i < count; ++i) fold_one<Codec, Op>(one, f, i);
}

template <class Wrapping, class Ordered>
void fold_op(ReduceOp op, const Fold& f, size_t count) {
  switch (op) {
    case ReduceOp::sum:
    case ReduceOp::mean:
      return fold_as<Wrapping, Sum>(f, count);
    case ReduceOp::min:
      return fold_as<Ordered, Min>(f, count);
    case ReduceOp::max:
      return fold_as<Ordered, Max>(f, count);
    case ReduceOp::product:
      return fold_as<Wrapping, Product>(f, count);
  }
}

void fold_type(DataType type, ReduceOp op, const Fold& f, size_t count) {
  switch (type) {
    case DataType::fp32:
      return fold_op<Plain<float>, Plain<float>>(op, f, count);
    case DataType::fp16:
      return fold_op<Fp16, Fp16>(op, f, count);
    case DataType::bf16:
      return fold_op<Bf16, Bf16>(op, f, count);
    case DataType::fp64:
      return fold_op<Plain<double>, Plain<double>>(op, f, count);
    case DataType::int32:  // Unsigned where results wrap around.
      return fold_op<Plain<uint32_t>, Plain<int32_t>>(op, f, count);
    case DataType::int64:
      return fold_op<Plain<uint64_t>, Plain<int64_t>>(op, f, count);
  }
}

// Entry points of this file, dispatched below.
void fold_run(DataType type, ReduceOp op, std::span<const void* const> sources, const void* carry,
              void* accumulator, size_t count) {
  fold_type(type, op, Fold{sources.data(), sources.size(), carry, accumulator}, count);
}

template <typename T>
void divide_floats(T* values, T divisor, size_t count) {
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> one;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Div(hn::LoadU(d, values + i), hn::Set(d, divisor)), d, values + i);
  }
  for (; i < count; ++i) {
    hn::StoreU(hn::Div(hn::LoadU(one, values + i), hn::Set(one, divisor)), one, values + i);
  }
}

void divide_run(DataType type, void* values, uint32_t divisor, size_t count) {
  if (type == DataType::fp64) {
    return divide_floats(static_cast<double*>(values), static_cast<double>(divisor), count);
  }
  divide_floats(static_cast<float*>(values), static_cast<float>(divisor), count);
}

}  // namespace phub::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace phub::kernels {

HWY_EXPORT(fold_run);
HWY_EXPORT(divide_run);

namespace {

// No set divides integers in vectors; a mean of integers is rare enough for the plain loop.
template <typename Int>
void divide_integers(Int* values, uint32_t divisor, size_t count) {
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<Int>(values[i] / int64_t{divisor});
}

}  // namespace

void fold_from(DataType type, ReduceOp op, std::span<const void* const> sources, const void* carry,
               void* accumulator, size_t count) {
  HWY_DYNAMIC_DISPATCH(fold_run)(type, op, sources, carry, accumulator, count);
}

void divide(DataType type, void* accumulator, uint32_t contributor_count, size_t count) {
  switch (type) {
    case DataType::int32:
      return divide_integers(static_cast<int32_t*>(accumulator), contributor_count, count);
    case DataType::int64:
      return divide_integers(static_cast<int64_t*>(accumulator), contributor_count, count);
    case DataType::fp32:
    case DataType::fp16:
    case DataType::bf16:
    case DataType::fp64:
      HWY_DYNAMIC_DISPATCH(divide_run)(type, accumulator, contributor_count, count);
  }
}

void fold(DataType type, ReduceOp op, std::span<const void* const> sources, bool carry,
          void* accumulator, size_t count) {
  PHUB_DCHECK(!sources.empty() && sources.size() <= kFoldSourcesMax);
  if (oracle_forced()) return scalar::fold(type, op, sources, carry, accumulator, count);
  fold_from(type, op, sources, carry ? accumulator : nullptr, accumulator, count);
}

}  // namespace phub::kernels
#endif  // HWY_ONCE
