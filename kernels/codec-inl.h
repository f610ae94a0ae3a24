// How elements of each type enter and leave vectors. Included once per instruction set.
//
// fp16 and bf16 are widened to float32 exactly; the way back rounds to nearest even. Highway 1.0.3
// truncates in its bf16 demotion and, without F16C, flushes fp16 denormals and bends NaN, so both
// conversions are integer code of our own there.
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(PHUB_KERNELS_CODEC_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PHUB_KERNELS_CODEC_INL_H_
#undef PHUB_KERNELS_CODEC_INL_H_
#else
#define PHUB_KERNELS_CODEC_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace phub::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The hardware converts as IEEE 754 says: AVX2 and above bring F16C. Elsewhere own integer code.
#define PHUB_HAS_F16C \
  (HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL)

// float32 lanes from the lower 16 bits of each lane, an fp16.
template <class D, class VU>
HWY_INLINE hn::Vec<D> widen_fp16(D d, VU bits) {
  const hn::RebindToUnsigned<D> du;
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000u)));
  const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x7FFFu)));
  // The product moves the exponent's bias from 15 to 127, for denormals too, and is exact.
  const auto rebias = hn::BitCast(d, hn::Set(du, (254u - 15u) << 23));  // 2^112.
  const auto value = hn::BitCast(du, hn::Mul(hn::BitCast(d, magnitude), rebias));
  // Exponent 31 (infinity, NaN) became 143 and must be 255. NaN is made quiet, as F16C does.
  const auto special = hn::Gt(magnitude, hn::Set(du, (0x7C00u << 13) - 1));
  const auto nan = hn::Gt(magnitude, hn::Set(du, 0x7C00u << 13));
  const auto extra = hn::Or(hn::IfThenElseZero(special, hn::Set(du, 0x7F800000u)),
                            hn::IfThenElseZero(nan, hn::Set(du, 0x00400000u)));
  return hn::BitCast(d, hn::Or(sign, hn::Or(value, extra)));
}

// The fp16 nearest to each lane, in the lower 16 bits.
template <class D, class V>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> narrow_fp16(D d, V v) {
  const hn::RebindToUnsigned<D> du;
  const auto bits = hn::BitCast(du, v);
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 0x8000u));
  const auto magnitude = hn::And(bits, hn::Set(du, 0x7FFFFFFFu));
  // Normal: add half a unit of the last kept place, less one where that place is even.
  const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1u));
  const auto rounded = hn::Add(hn::Add(magnitude, odd), hn::Set(du, 0xC8000000u + 0xFFFu));
  const auto normal = hn::ShiftRight<13>(rounded);
  // Below 2^-14: adding 0.5 aligns the last place of fp16 with that of float32, which rounds.
  const auto half = hn::Set(d, 0.5f);
  const auto aligned = hn::BitCast(du, hn::Add(hn::BitCast(d, magnitude), half));
  const auto denormal = hn::Sub(aligned, hn::BitCast(du, half));
  const auto infinity = hn::Set(du, 0x7C00u);
  const auto payload = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 0x3FFu));
  const auto quiet_nan = hn::Or(hn::Set(du, 0x7E00u), payload);

  auto result = hn::IfThenElse(hn::Lt(magnitude, hn::Set(du, 113u << 23)), denormal, normal);
  result = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, (143u << 23) - 1)), infinity, result);
  result = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x7F800000u)), quiet_nan, result);
  return hn::Or(sign, result);
}

// The bf16 nearest to each lane, in the lower 16 bits.
template <class D, class V>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> narrow_bf16(D /*d*/, V v) {
  const hn::RebindToUnsigned<D> du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, odd), hn::Set(du, 0x7FFFu)));
  const auto quiet_nan = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 0x40u));
  const auto magnitude = hn::And(bits, hn::Set(du, 0x7FFFFFFFu));
  return hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x7F800000u)), quiet_nan, rounded);
}

// Loads and stores at any alignment, that of the element included: frames lie where they fell. A
// single lane goes by memcpy, since there Highway dereferences a typed pointer.
template <class D>
HWY_INLINE hn::Vec<D> load_any(D d, const void* from, size_t index) {
  using T = hn::TFromD<D>;
  if constexpr (hn::MaxLanes(D()) == 1) {
    T value;
    std::memcpy(&value, static_cast<const T*>(from) + index, sizeof(T));
    return hn::Set(d, value);
  } else {
    return hn::LoadU(d, static_cast<const T*>(from) + index);
  }
}

template <class D>
HWY_INLINE void store_any(D d, hn::Vec<D> v, void* to, size_t index) {
  using T = hn::TFromD<D>;
  if constexpr (hn::MaxLanes(D()) == 1) {
    const T value = hn::GetLane(v);
    std::memcpy(static_cast<T*>(to) + index, &value, sizeof(T));
  } else {
    hn::StoreU(v, d, static_cast<T*>(to) + index);
  }
}

// Four vectors of consecutive elements.
template <class Codec>
struct InOrder {
  template <class D, class V>
  static HWY_INLINE void load_four(D d, const void* from, size_t i, V& a, V& b, V& c, V& e) {
    const size_t lanes = hn::Lanes(d);
    a = Codec::load(d, from, i);
    b = Codec::load(d, from, i + lanes);
    c = Codec::load(d, from, i + 2 * lanes);
    e = Codec::load(d, from, i + 3 * lanes);
  }
  // Of accumulators.
  template <class D, class V>
  static HWY_INLINE void carry_four(D d, const void* from, size_t i, V& a, V& b, V& c, V& e) {
    const size_t lanes = hn::Lanes(d);
    a = load_any(d, from, i);
    b = load_any(d, from, i + lanes);
    c = load_any(d, from, i + 2 * lanes);
    e = load_any(d, from, i + 3 * lanes);
  }
  template <class D, class V>
  static HWY_INLINE void store_four(D d, void* to, size_t i, V a, V b, V c, V e) {
    const size_t lanes = hn::Lanes(d);
    store_any(d, a, to, i);
    store_any(d, b, to, i + lanes);
    store_any(d, c, to, i + 2 * lanes);
    store_any(d, e, to, i + 3 * lanes);
  }
};

// Types whose accumulator is the element itself.
template <typename T>
struct Plain : InOrder<Plain<T>> {
  using Lane = T;
  template <class D>
  static HWY_INLINE hn::Vec<D> load(D d, const void* from, size_t index) {
    return load_any(d, from, index);
  }
};

struct Fp16 : InOrder<Fp16> {
  using Lane = float;
  template <class D>
  static HWY_INLINE hn::Vec<D> load(D d, const void* from, size_t index) {
    const hn::Rebind<uint16_t, D> wire;
#if PHUB_HAS_F16C
    const hn::Rebind<hwy::float16_t, D> halves;
    return hn::PromoteTo(d, hn::BitCast(halves, load_any(wire, from, index)));
#else
    const hn::RebindToUnsigned<D> du;
    return widen_fp16(d, hn::PromoteTo(du, load_any(wire, from, index)));
#endif
  }
  template <class D>
  static HWY_INLINE void store(D d, hn::Vec<D> v, void* to, size_t index) {
    const hn::Rebind<uint16_t, D> wire;
#if PHUB_HAS_F16C
    const hn::Rebind<hwy::float16_t, D> halves;
    store_any(wire, hn::BitCast(wire, hn::DemoteTo(halves, v)), to, index);
#else
    const hn::RebindToSigned<D> di;
    store_any(wire, hn::DemoteTo(wire, hn::BitCast(di, narrow_fp16(d, v))), to, index);
#endif
  }
};

struct Bf16 : InOrder<Bf16> {
  using Lane = float;
  template <class D>
  static HWY_INLINE hn::Vec<D> load(D d, const void* from, size_t index) {
    const hn::RebindToUnsigned<D> du;
    const hn::Rebind<uint16_t, D> wire;
    const auto bits = hn::PromoteTo(du, load_any(wire, from, index));
    return hn::BitCast(d, hn::ShiftLeft<16>(bits));
  }
  template <class D>
  static HWY_INLINE void store(D d, hn::Vec<D> v, void* to, size_t index) {
    const hn::RebindToSigned<D> di;
    const hn::Rebind<uint16_t, D> wire;
    store_any(wire, hn::DemoteTo(wire, hn::BitCast(di, narrow_bf16(d, v))), to, index);
  }
#if HWY_TARGET != HWY_SCALAR
  // A 32-bit lane holds two elements: even ones in a and c, odd ones in b and e. Two instructions
  // a vector where widening in order needs a shuffle as well; the order is put right once, when
  // the sums are stored. (8 sources in the L2 cache: 1.3 times the speed in order.)
  template <class D, class V>
  static HWY_INLINE void load_four(D d, const void* from, size_t i, V& a, V& b, V& c, V& e) {
    const hn::RebindToUnsigned<D> du;
    const auto high = hn::Set(du, 0xFFFF0000u);
    const auto first = load_any(du, from, i / 2);
    const auto second = load_any(du, from, i / 2 + hn::Lanes(d));
    a = hn::BitCast(d, hn::ShiftLeft<16>(first));
    b = hn::BitCast(d, hn::And(first, high));
    c = hn::BitCast(d, hn::ShiftLeft<16>(second));
    e = hn::BitCast(d, hn::And(second, high));
  }
  template <class D, class V>
  static HWY_INLINE void carry_four(D d, const void* from, size_t i, V& a, V& b, V& c, V& e) {
    const float* const sums = static_cast<const float*>(from) + i;
    hn::LoadInterleaved2(d, sums, a, b);
    hn::LoadInterleaved2(d, sums + 2 * hn::Lanes(d), c, e);
  }
  template <class D, class V>
  static HWY_INLINE void store_four(D d, void* to, size_t i, V a, V b, V c, V e) {
    float* const sums = static_cast<float*>(to) + i;
    hn::StoreInterleaved2(a, b, d, sums);
    hn::StoreInterleaved2(c, e, d, sums + 2 * hn::Lanes(d));
  }
#endif
};

}  // namespace phub::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // Per-target include guard.
