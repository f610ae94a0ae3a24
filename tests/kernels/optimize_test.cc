// Goal: the optimizers are those of PyTorch's documentation (torch.optim.SGD, Adam, AdamW).
// Method: the documented formulas, written once more in double precision with the documentation's
// own symbols; every step starts from the same float32 state, so the difference is only rounding:
// a few units in the last place of the largest term that enters each result.
#include <limits>

#include "kernels/finish.h"
#include "tests/kernels/support.h"

namespace phub::kernels {
namespace {

// One element: theta the weight; b or m the first moment, v the second.
struct Element {
  double theta = 0, m = 0, v = 0;
};

// torch.optim.SGD. mu 0 is plain SGD.
Element documented_sgd(const StepInput& input, Element e, double g) {
  const OptimizerOptions& o = input.options;
  const bool nesterov = o.kind == OptimizerKind::nesterov;
  const double mu = o.kind == OptimizerKind::sgd ? 0 : double{o.momentum};
  const double tau = o.kind == OptimizerKind::momentum ? double{o.dampening} : 0;
  if (o.weight_decay != 0) g = g + o.weight_decay * e.theta;
  if (mu != 0) {
    e.m = input.step > 1 ? mu * e.m + (1 - tau) * g : g;
    g = nesterov ? g + mu * e.m : e.m;
  }
  e.theta = e.theta - o.learning_rate * g;
  return e;
}

// torch.optim.Adam and AdamW.
Element documented_adam(const StepInput& input, Element e, double g) {
  const OptimizerOptions& o = input.options;
  const double lambda = o.weight_decay, gamma = o.learning_rate;
  const double t = static_cast<double>(input.step);
  if (o.kind == OptimizerKind::adamw) {
    e.theta = e.theta - gamma * lambda * e.theta;
  } else if (lambda != 0) {
    g = g + lambda * e.theta;
  }
  const double beta1 = o.beta1, beta2 = o.beta2;
  e.m = beta1 * e.m + (1 - beta1) * g;
  e.v = beta2 * e.v + (1 - beta2) * g * g;
  const double m_hat = e.m / (1 - std::pow(beta1, t));
  const double v_hat = e.v / (1 - std::pow(beta2, t));
  e.theta = e.theta - gamma * m_hat / (std::sqrt(v_hat) + o.epsilon);
  return e;
}

Element documented(const StepInput& input, Element e, double gradient) {
  const double g = gradient * input.gradient_scale;
  switch (input.options.kind) {
    case OptimizerKind::none:
      return e;
    case OptimizerKind::sgd:
    case OptimizerKind::momentum:
    case OptimizerKind::nesterov:
      return documented_sgd(input, e, g);
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return documented_adam(input, e, g);
  }
  return e;
}

// Roundings are at most half a unit each; no result takes more than eight of them.
void expect_close(float got, double want, double largest_term, const char* what) {
  const double unit = std::numeric_limits<float>::epsilon();
  ASSERT_NEAR(got, want, 4 * unit * largest_term) << what;
}

struct Model {
  explicit Model(size_t count) : weights(count), first(count), second(count), gradient(count) {}
  std::vector<float> weights, first, second, gradient;

  void draw_gradient(base::Random& random) {
    for (float& g : gradient) g = static_cast<float>(random.unit() * 2 - 1);
  }
  void step(const StepInput& input) {
    const void* const sources[] = {gradient.data()};
    FinishInput finish_input;
    finish_input.sources = sources;
    finish_input.step = input;
    finish_input.state = {weights.data(), first.data(), second.data()};
    finish_input.count = gradient.size();
    finish(finish_input);
  }
};

// Takes one step and compares every element with the documentation.
void step_and_compare(Model& model, const StepInput& input) {
  const Model before = model;
  model.step(input);
  for (size_t i = 0; i < model.weights.size(); ++i) {
    const Element start{before.weights[i], before.first[i], before.second[i]};
    const Element want = documented(input, start, before.gradient[i]);
    const double g = std::abs(before.gradient[i] * double{input.gradient_scale}) +
                     input.options.weight_decay * std::abs(start.theta);
    const double moved = std::abs(want.theta - start.theta);
    const double gradient_terms = g + std::abs(start.m);
    expect_close(model.first[i], want.m, gradient_terms, "first moment");
    expect_close(model.second[i], want.v, g * g + start.v, "second moment");
    // Where m or the velocity cancels, its error moves the weight in proportion.
    const double rate = input.options.learning_rate;
    const bool adam = input.options.kind >= OptimizerKind::adam;
    const double steepness = adam ? rate * gradient_terms / (std::sqrt(want.v) + 1e-8) : 0;
    const double slope = adam ? 40 * steepness : 3 * rate * gradient_terms;
    expect_close(model.weights[i], want.theta, std::abs(start.theta) + moved + slope, "weight");
    if (testing::Test::HasFatalFailure()) return;
  }
}

class OptimizeTest : public testing::TestWithParam<OptimizerKind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, OptimizeTest,
                         testing::Values(OptimizerKind::sgd, OptimizerKind::momentum,
                                         OptimizerKind::nesterov, OptimizerKind::adam,
                                         OptimizerKind::adamw),
                         [](const auto& kind) { return std::string(to_string(kind.param)); });

TEST_P(OptimizeTest, FollowsTheDocumentedFormulas) {
  for (const float weight_decay : {0.0f, 0.05f}) {
    for (const float dampening : {0.0f, 0.3f}) {
      for_each_isa([&] {
        base::Random random(1);
        Model model(203);
        for (float& w : model.weights) w = static_cast<float>(random.unit() * 2 - 1);
        StepInput input;
        input.options.kind = GetParam();
        input.options.learning_rate = 0.05f;
        input.options.weight_decay = weight_decay;
        input.options.dampening = dampening;
        input.gradient_scale = 0.75f;
        for (input.step = 1; input.step <= 20; ++input.step) {
          model.draw_gradient(random);
          step_and_compare(model, input);
          if (HasFatalFailure()) return;
        }
      });
    }
  }
}

TEST_P(OptimizeTest, ContinuesFromTheStateOfACheckpoint) {
  base::Random random(2);
  Model model(100);
  StepInput input;
  input.options.kind = GetParam();
  for (input.step = 1; input.step <= 5; ++input.step) {
    model.draw_gradient(random);
    model.step(input);
  }
  Model restored = model;  // As written to a file and read back by another process.
  model.draw_gradient(random);
  restored.gradient = model.gradient;
  input.step = 6;
  step_and_compare(restored, input);
  model.step(input);
  EXPECT_EQ(restored.weights, model.weights);
}

TEST_P(OptimizeTest, FindsTheMinimumOfAParabola) {
  constexpr float kGoal = 3;
  Model model(1);
  StepInput input;
  input.options.kind = GetParam();
  input.options.learning_rate = 0.05f;
  for (input.step = 1; input.step <= 600; ++input.step) {
    model.gradient[0] = 2 * (model.weights[0] - kGoal);
    model.step(input);
  }
  EXPECT_NEAR(model.weights[0], kGoal, 0.01);
}

TEST(OptimizeRuleTest, TheFirstVelocityIsTheGradientWhateverTheStateHolds) {
  for (const OptimizerKind kind : {OptimizerKind::momentum, OptimizerKind::nesterov}) {
    Model model(1);
    model.first[0] = 77;
    model.gradient[0] = 2;
    StepInput input;
    input.options.kind = kind;
    input.options.dampening = 0.5f;
    model.step(input);
    EXPECT_EQ(model.first[0], 2);
    input.step = 2;
    model.step(input);
    const bool dampens = kind == OptimizerKind::momentum;
    EXPECT_FLOAT_EQ(model.first[0], 0.9f * 2 + (dampens ? 0.5f : 1.0f) * 2);
  }
}

TEST(OptimizeRuleTest, TheFirstAdamStepMovesByTheLearningRateWhateverTheGradientsSize) {
  for (const float gradient : {1e-3f, 1.0f, 1e4f}) {
    Model model(1);
    model.gradient[0] = gradient;
    StepInput input;
    input.options.kind = OptimizerKind::adam;
    input.options.learning_rate = 0.125f;
    model.step(input);
    EXPECT_NEAR(model.weights[0], -0.125f, 1e-5);
  }
}

}  // namespace
}  // namespace phub::kernels
