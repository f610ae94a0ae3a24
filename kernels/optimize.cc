// The optimizers, elementwise in float32. Each line is one operation rounded once, never fused, so
// that every instruction set and the oracle agree in every bit.
#include "kernels/passes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/optimize.cc"
#include <hwy/foreach_target.h>  // Compiles the rest of this file once per instruction set.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace phub::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The scaled gradient of the elements at i, with weight decay where it belongs to the gradient.
template <class D>
HWY_INLINE hn::Vec<D> scaled_gradient(D d, const StepNumbers& n, const float* gradient,
                                      hn::Vec<D> weight, size_t i) {
  const auto g = hn::Mul(hn::LoadU(d, gradient + i), hn::Set(d, n.scale));
  if (!n.decays) return g;
  return hn::Add(g, hn::Mul(weight, hn::Set(d, n.weight_decay)));
}

struct Sgd {
  template <class D>
  static HWY_INLINE void apply(D d, const StepNumbers& n, const float* gradient,
                               const OptimizerState& state, size_t i) {
    const auto weight = hn::LoadU(d, state.weights + i);
    const auto g = scaled_gradient(d, n, gradient, weight, i);
    hn::StoreU(hn::Sub(weight, hn::Mul(hn::Set(d, n.learning_rate), g)), d, state.weights + i);
  }
};

// momentum and nesterov.
struct Momentum {
  template <class D>
  static HWY_INLINE void apply(D d, const StepNumbers& n, const float* gradient,
                               const OptimizerState& state, size_t i) {
    const auto weight = hn::LoadU(d, state.weights + i);
    const auto momentum = hn::Set(d, n.momentum);
    const auto g = scaled_gradient(d, n, gradient, weight, i);
    auto velocity = g;
    if (!n.first) {
      const auto kept = hn::Mul(momentum, hn::LoadU(d, state.first_moment + i));
      velocity = hn::Add(kept, hn::Mul(hn::Set(d, n.take), g));
    }
    hn::StoreU(velocity, d, state.first_moment + i);
    const bool looks_ahead = n.kind == OptimizerKind::nesterov;
    const auto move = looks_ahead ? hn::Add(g, hn::Mul(momentum, velocity)) : velocity;
    hn::StoreU(hn::Sub(weight, hn::Mul(hn::Set(d, n.learning_rate), move)), d, state.weights + i);
  }
};

// adam and adamw.
struct Adam {
  template <class D>
  static HWY_INLINE void apply(D d, const StepNumbers& n, const float* gradient,
                               const OptimizerState& state, size_t i) {
    auto weight = hn::LoadU(d, state.weights + i);
    auto g = hn::Mul(hn::LoadU(d, gradient + i), hn::Set(d, n.scale));
    if (n.kind == OptimizerKind::adamw) {
      weight = hn::Mul(weight, hn::Set(d, n.keep));
    } else if (n.decays) {
      g = hn::Add(g, hn::Mul(weight, hn::Set(d, n.weight_decay)));
    }
    const auto m = hn::Add(hn::Mul(hn::Set(d, n.beta1), hn::LoadU(d, state.first_moment + i)),
                           hn::Mul(hn::Set(d, n.take1), g));
    const auto v = hn::Add(hn::Mul(hn::Set(d, n.beta2), hn::LoadU(d, state.second_moment + i)),
                           hn::Mul(hn::Set(d, n.take2), hn::Mul(g, g)));
    hn::StoreU(m, d, state.first_moment + i);
    hn::StoreU(v, d, state.second_moment + i);
    const auto root = hn::Mul(hn::Sqrt(v), hn::Set(d, n.root_scale));
    const auto ratio = hn::Div(m, hn::Add(root, hn::Set(d, n.epsilon)));
    hn::StoreU(hn::Sub(weight, hn::Mul(hn::Set(d, n.step_size), ratio)), d, state.weights + i);
  }
};

template <class Rule>
void step_as(const StepNumbers& numbers, const float* gradient, const OptimizerState& state,
             size_t count) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> one;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) Rule::apply(d, numbers, gradient, state, i);
  for (; i < count; ++i) Rule::apply(one, numbers, gradient, state, i);
}

void step_run(const StepNumbers& numbers, const float* gradient, const OptimizerState& state,
              size_t count) {
  // A copy of its own: stores to the state cannot change it, so it stays in registers.
  const StepNumbers n = numbers;
  switch (n.kind) {
    case OptimizerKind::none:
      return;
    case OptimizerKind::sgd:
      return step_as<Sgd>(n, gradient, state, count);
    case OptimizerKind::momentum:
    case OptimizerKind::nesterov:
      return step_as<Momentum>(n, gradient, state, count);
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return step_as<Adam>(n, gradient, state, count);
  }
}

}  // namespace phub::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace phub::kernels {

HWY_EXPORT(step_run);

void step(const StepNumbers& numbers, const float* gradient, const OptimizerState& state,
          size_t count) {
  HWY_DYNAMIC_DISPATCH(step_run)(numbers, gradient, state, count);
}

}  // namespace phub::kernels
#endif  // HWY_ONCE
