// The numbers of one optimizer step that are the same for all elements, in float32.
//
// The vector code and the oracle share them, so that both work on equal constants; the tests check
// them through the double-precision formulas of PyTorch's documentation.
#pragma once

#include "kernels/finish.h"

namespace phub::kernels {

struct StepNumbers {
  OptimizerKind kind = OptimizerKind::none;
  bool first = false;       // Step 1: the velocity starts as the gradient, as in PyTorch.
  bool decays = false;      // weight_decay != 0. Without it weights do not enter the gradient.
  float scale = 1;          // gradient_scale.
  float learning_rate = 0;  // sgd, momentum, nesterov.
  float weight_decay = 0;   // Added to the gradient, times the weight.
  float keep = 1;           // adamw: weights shrink to this part first: 1 - lr * weight_decay.
  float momentum = 0;
  float take = 1;  // momentum: 1 - dampening.
  float beta1 = 0;
  float beta2 = 0;
  float take1 = 0;       // 1 - beta1.
  float take2 = 0;       // 1 - beta2.
  float step_size = 0;   // lr / (1 - beta1^step).
  float root_scale = 0;  // 1 / sqrt(1 - beta2^step): times sqrt(v) is sqrt of the corrected v.
  float epsilon = 0;
};

// Bias corrections and differences are computed in double and rounded once.
StepNumbers step_numbers(const StepInput& input);

}  // namespace phub::kernels
