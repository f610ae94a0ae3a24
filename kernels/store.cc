// How finished elements leave: rounded to 16 bits where the tensor wants it, then copied out.
#include <cstring>

#include "kernels/passes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/store.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>  // Compiles the rest of this file once per instruction set.
#include <hwy/highway.h>

#include "kernels/codec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace phub::kernels::HWY_NAMESPACE {

template <class Codec>
void demote_as(const float* values, void* wire, size_t count) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> one;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) Codec::store(d, hn::LoadU(d, values + i), wire, i);
  for (; i < count; ++i) Codec::store(one, hn::LoadU(one, values + i), wire, i);
}

void demote_run(DataType type, const float* values, void* wire, size_t count) {
  if (type == DataType::fp16) return demote_as<Fp16>(values, wire, count);
  demote_as<Bf16>(values, wire, count);
}

// Whole cache lines, so that each leaves its write-combining buffer full and nothing is read for
// ownership. REQUIRES: `to` on a line's boundary.
void stream_lines(const uint8_t* from, uint8_t* to, size_t line_count) {
  const hn::CappedTag<uint8_t, 64> d;
  const size_t lanes = hn::Lanes(d);
  for (size_t line = 0; line < line_count; ++line) {
    for (size_t j = 0; j < 64; j += lanes) hn::Stream(hn::LoadU(d, from + j), d, to + j);
    from += 64;
    to += 64;
  }
}

}  // namespace phub::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace phub::kernels {

HWY_EXPORT(demote_run);
HWY_EXPORT(stream_lines);

void demote(DataType type, const float* values, void* wire, size_t count) {
  HWY_DYNAMIC_DISPATCH(demote_run)(type, values, wire, count);
}

void copy(const void* from, void* to, size_t bytes, Stores stores) {
  if (stores == Stores::ordinary || bytes < 128) {
    std::memcpy(to, from, bytes);
    return;
  }
  const uint8_t* const source = static_cast<const uint8_t*>(from);
  uint8_t* const target = static_cast<uint8_t*>(to);
  const size_t head = -reinterpret_cast<uintptr_t>(target) & 63;
  const size_t line_count = (bytes - head) / 64;
  const size_t tail = head + line_count * 64;
  std::memcpy(target, source, head);
  HWY_DYNAMIC_DISPATCH(stream_lines)(source + head, target + head, line_count);
  std::memcpy(target + tail, source + tail, bytes - tail);
}

void fence(Stores stores) {
  if (stores == Stores::non_temporal) hwy::FlushStream();
}

}  // namespace phub::kernels
#endif  // HWY_ONCE
