#include "kernels/step_numbers.h"

#include <cmath>

namespace phub::kernels {

StepNumbers step_numbers(const StepInput& input) {
  const OptimizerOptions& options = input.options;
  const double rate = options.learning_rate;
  const double step = static_cast<double>(input.step);

  StepNumbers numbers;
  numbers.kind = options.kind;
  if (options.kind == OptimizerKind::none) return numbers;
  numbers.first = input.step <= 1;
  numbers.decays = options.weight_decay != 0.0f;
  numbers.scale = input.gradient_scale;
  numbers.learning_rate = options.learning_rate;
  numbers.weight_decay = options.weight_decay;
  numbers.keep = static_cast<float>(1 - rate * options.weight_decay);
  numbers.momentum = options.momentum;
  // PyTorch allows Nesterov momentum only without dampening.
  const bool dampens = options.kind == OptimizerKind::momentum;
  numbers.take = dampens ? static_cast<float>(1 - double{options.dampening}) : 1.0f;
  numbers.beta1 = options.beta1;
  numbers.beta2 = options.beta2;
  numbers.take1 = static_cast<float>(1 - double{options.beta1});
  numbers.take2 = static_cast<float>(1 - double{options.beta2});
  numbers.step_size = static_cast<float>(rate / (1 - std::pow(double{options.beta1}, step)));
  numbers.root_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(double{options.beta2}, step)));
  numbers.epsilon = options.epsilon;
  return numbers;
}

}  // namespace phub::kernels
