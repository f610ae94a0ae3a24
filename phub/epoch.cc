#include "phub/epoch.h"

#include <cmath>

#include "base/try.h"

namespace phub::hub {
namespace {

bool has_first_moment(OptimizerKind kind) {
  return kind == OptimizerKind::momentum || kind == OptimizerKind::nesterov ||
         kind == OptimizerKind::adam || kind == OptimizerKind::adamw;
}
bool has_second_moment(OptimizerKind kind) {
  return kind == OptimizerKind::adam || kind == OptimizerKind::adamw;
}

float* floats(const base::Mapping& mapping, uint64_t first) {
  return mapping.data() == nullptr ? nullptr : reinterpret_cast<float*>(mapping.data()) + first;
}

}  // namespace

Result<std::shared_ptr<TensorState>> TensorState::create(const TensorSpec& spec,
                                                         uint32_t chunk_elements) {
  auto state = std::make_shared<TensorState>();
  state->spec = spec;
  const size_t bytes = spec.count * sizeof(float);
  PHUB_TRY_ASSIGN(state->weights, base::Mapping::anonymous(bytes));
  if (has_first_moment(spec.optimizer.kind)) {
    PHUB_TRY_ASSIGN(state->first_moment, base::Mapping::anonymous(bytes));
  }
  if (has_second_moment(spec.optimizer.kind)) {
    PHUB_TRY_ASSIGN(state->second_moment, base::Mapping::anonymous(bytes));
  }
  state->steps.resize((spec.count + chunk_elements - 1) / chunk_elements);
  return state;
}

kernels::OptimizerState TensorState::at(uint64_t first) const {
  return {floats(weights, first), floats(first_moment, first), floats(second_moment, first)};
}

float clip_scale(double squared_norm, float limit) {
  const double scale = limit / (std::sqrt(squared_norm) + 1e-6);
  return scale < 1 ? static_cast<float>(scale) : 1.0f;
}

}  // namespace phub::hub
