#include "kernels/finish.h"
#include "kernels/scalar.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm.cc"
#include <hwy/foreach_target.h>  // Compiles the rest of this file once per instruction set.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace phub::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kNormLanes = 64;

// Squares one vector of floats and adds it to as many lanes of the sums.
template <class D>
HWY_INLINE void add_squares(D d, const float* values, float scale, double* sums) {
  const hn::Rebind<float, D> d32;
  const auto scaled = hn::Mul(hn::LoadU(d32, values), hn::Set(d32, scale));
  const auto wide = hn::PromoteTo(d, scaled);
  hn::StoreU(hn::Add(hn::LoadU(d, sums), hn::Mul(wide, wide)), d, sums);
}

double sum_of_squares_run(const float* values, float scale, size_t count) {
  const hn::CappedTag<double, kNormLanes> d;
  const hn::CappedTag<double, 1> one;
  const size_t lanes = hn::Lanes(d);
  alignas(64) double sums[kNormLanes] = {};
  size_t i = 0;
  for (; i + kNormLanes <= count; i += kNormLanes) {
    for (size_t j = 0; j < kNormLanes; j += lanes) add_squares(d, values + i + j, scale, sums + j);
  }
  for (size_t j = 0; i + j < count; ++j) add_squares(one, values + i + j, scale, sums + j);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace phub::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace phub::kernels {

HWY_EXPORT(sum_of_squares_run);

double sum_of_squares(const float* accumulator, float scale, size_t count) {
  if (oracle_forced()) return scalar::sum_of_squares(accumulator, scale, count);
  return HWY_DYNAMIC_DISPATCH(sum_of_squares_run)(accumulator, scale, count);
}

}  // namespace phub::kernels
#endif  // HWY_ONCE
