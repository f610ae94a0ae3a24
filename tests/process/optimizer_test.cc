// Goal: the optimizers at the hub follow PyTorch's documented formulas over many steps, with
// settings per step, clipping, state in and out, and fp32 masters of 16-bit tensors. Method: the
// same steps in double precision in this file.
#include <cmath>

#include "kernels/scalar.h"
#include "tests/process/hub_fixture.h"

namespace phub::process {
namespace {

using HubOptimizerTest = HubFixture;
constexpr uint64_t kCount = 700;
constexpr uint32_t kRanks = 3;

float gradient_at(uint32_t rank, uint32_t step, uint64_t i) {
  return static_cast<float>(static_cast<int>((i * 7 + rank * 3 + step * 11) % 23) - 11) / 16.0f;
}
float weight_at(uint64_t i) { return static_cast<float>(i % 17) / 8.0f - 1.0f; }

// One tensor's training in double precision.
struct Reference {
  explicit Reference(const OptimizerOptions& options)
      : o(options), w(kCount), m(kCount), v(kCount) {
    for (uint64_t i = 0; i < kCount; ++i) w[i] = weight_at(i);
  }
  void step(const std::vector<double>& gradient, double lr) {
    ++t;
    for (uint64_t i = 0; i < kCount; ++i) {
      double g = gradient[i];
      if (o.kind == OptimizerKind::adamw) {
        w[i] -= lr * o.weight_decay * w[i];
      } else {
        g += o.weight_decay * w[i];
      }
      switch (o.kind) {
        case OptimizerKind::none:
          break;
        case OptimizerKind::sgd:
          w[i] -= lr * g;
          break;
        case OptimizerKind::momentum:
        case OptimizerKind::nesterov: {
          const double dampening = o.kind == OptimizerKind::momentum ? o.dampening : 0;
          m[i] = t == 1 ? g : o.momentum * m[i] + (1 - dampening) * g;
          w[i] -= lr * (o.kind == OptimizerKind::nesterov ? g + o.momentum * m[i] : m[i]);
          break;
        }
        case OptimizerKind::adam:
        case OptimizerKind::adamw: {
          m[i] = o.beta1 * m[i] + (1.0 - o.beta1) * g;
          v[i] = o.beta2 * v[i] + (1.0 - o.beta2) * g * g;
          const double mean = m[i] / (1 - std::pow(o.beta1, t));
          const double variance = v[i] / (1 - std::pow(o.beta2, t));
          w[i] -= lr * mean / (std::sqrt(variance) + o.epsilon);
          break;
        }
      }
    }
  }
  OptimizerOptions o;
  std::vector<double> w, m, v;
  uint64_t t = 0;
};

std::vector<double> mean_gradient(uint32_t step, double scale) {
  std::vector<double> gradient(kCount);
  for (uint64_t i = 0; i < kCount; ++i) {
    double sum = 0;
    for (uint32_t rank = 0; rank < kRanks; ++rank) sum += gradient_at(rank, step, i);
    gradient[i] = sum / kRanks * scale;
  }
  return gradient;
}

TensorSpec optimized(OptimizerKind kind, DataType type = DataType::fp32) {
  TensorSpec spec = make_spec(std::string(to_string(kind)), kCount, type, ReduceOp::mean);
  spec.optimizer.kind = kind;
  spec.optimizer.learning_rate = 0.05f;
  spec.optimizer.momentum = 0.8f;
  spec.optimizer.dampening = kind == OptimizerKind::momentum ? 0.1f : 0.0f;
  spec.optimizer.weight_decay = 0.01f;
  return spec;
}

std::vector<float> initial_weights() {
  std::vector<float> weights(kCount);
  for (uint64_t i = 0; i < kCount; ++i) weights[i] = weight_at(i);
  return weights;
}

std::vector<float> gradient_of(uint32_t rank, uint32_t step) {
  std::vector<float> gradient(kCount);
  for (uint64_t i = 0; i < kCount; ++i) gradient[i] = gradient_at(rank, step, i);
  return gradient;
}

TEST_F(HubOptimizerTest, EveryOptimizerFollowsItsFormulaWithSettingsPerStep) {
  start_hub();
  std::vector<TensorSpec> specs;
  for (const OptimizerKind kind :
       {OptimizerKind::sgd, OptimizerKind::momentum, OptimizerKind::nesterov, OptimizerKind::adam,
        OptimizerKind::adamw}) {
    specs.push_back(optimized(kind));
  }
  run_ranks(kRanks, [&](Worker& worker, uint32_t rank) {
    const auto tensors = worker.register_tensors(specs);
    ASSERT_TRUE(tensors.ok()) << tensors.status().to_string();
    std::vector<Reference> references;
    std::vector<std::vector<float>> weights;
    for (size_t t = 0; t < specs.size(); ++t) {
      references.emplace_back(specs[t].optimizer);
      weights.push_back(rank == 1 ? initial_weights() : std::vector<float>(kCount));
      ASSERT_TRUE(worker.broadcast((*tensors)[t], weights[t].data(), Rank{1}).ok());
    }
    ASSERT_TRUE(worker.wait_all().ok());
    for (uint32_t step = 1; step <= 12; ++step) {
      StepSettings settings{.learning_rate = 0.05f, .gradient_scale = 1.0f, .skip = false};
      if (step >= 5) settings = {.learning_rate = 0.02f, .gradient_scale = 0.5f, .skip = step == 9};
      if (rank == 0 && (step == 5 || step == 9 || step == 10)) {
        ASSERT_TRUE(worker.set_step(settings).ok());
      }
      const std::vector<float> gradient = gradient_of(rank, step);
      for (size_t t = 0; t < specs.size(); ++t) {
        ASSERT_TRUE(worker.push_pull((*tensors)[t], gradient.data(), weights[t].data()).ok());
      }
      ASSERT_TRUE(worker.wait_all().ok());
      for (size_t t = 0; t < specs.size(); ++t) {
        if (!settings.skip) {
          references[t].step(mean_gradient(step, settings.gradient_scale), settings.learning_rate);
        }
        for (uint64_t i = 0; i < kCount; ++i) {
          ASSERT_NEAR(weights[t][i], references[t].w[i], 3e-6 * (1 + std::abs(references[t].w[i])))
              << specs[t].name << " step " << step << " element " << i << " rank " << rank;
        }
      }
    }
    std::vector<float> pulled(kCount);
    ASSERT_TRUE(worker.pull((*tensors)[3], pulled.data()).ok());
    ASSERT_TRUE(worker.wait_all().ok());
    EXPECT_EQ(pulled, weights[3]);
  });
}

TEST_F(HubOptimizerTest, ClippingBringsTheNormOfAllTensorsToTheLimit) {
  start_hub();
  std::vector<TensorSpec> specs;
  for (int t = 0; t < 4; ++t) {
    specs.push_back(optimized(OptimizerKind::sgd));
    specs.back().name += std::to_string(t);
    specs.back().optimizer.weight_decay = 0;
    specs.back().optimizer.clip_global_norm = 2.0f;
  }
  specs.push_back(make_spec("plain", 100));
  run_ranks(kRanks, [&](Worker& worker, uint32_t rank) {
    const auto tensors = worker.register_tensors(specs);
    ASSERT_TRUE(tensors.ok()) << tensors.status().to_string();
    std::vector<double> expected(kCount, 0);
    std::vector<std::vector<float>> weights(4, std::vector<float>(kCount));
    for (uint32_t step = 1; step <= 6; ++step) {
      const std::vector<float> gradient = gradient_of(rank, step);
      for (size_t t = 0; t < 4; ++t) {
        ASSERT_TRUE(worker.push_pull((*tensors)[t], gradient.data(), weights[t].data()).ok());
      }
      std::vector<float> plain(100, 1.0f);
      ASSERT_TRUE(worker.push_pull((*tensors)[4], plain.data(), plain.data()).ok());
      ASSERT_TRUE(worker.wait_all().ok());
      EXPECT_EQ(plain[0], 3.0f);
      const std::vector<double> mean = mean_gradient(step, 1);
      double squares = 0;
      for (const double g : mean) squares += 4 * g * g;
      const double scale = std::min(1.0, 2.0 / (std::sqrt(squares) + 1e-6));
      ASSERT_LT(scale, 1.0) << "the test must clip";
      for (uint64_t i = 0; i < kCount; ++i) {
        expected[i] -= 0.05 * scale * mean[i];
        for (size_t t = 0; t < 4; ++t) ASSERT_NEAR(weights[t][i], expected[i], 2e-6);
      }
    }
  });
}

TEST_F(HubOptimizerTest, StateGoesOutAndInAndTrainingGoesOnBitForBit) {
  start_hub();
  const std::vector<TensorSpec> specs = {optimized(OptimizerKind::adam)};
  std::vector<float> straight(kCount), weights(kCount), first(kCount), second(kCount);
  uint64_t steps = 0;
  const auto train = [&](Worker& worker, TensorId tensor, uint32_t rank, uint32_t from, uint32_t to,
                         std::vector<float>* result) {
    for (uint32_t step = from; step <= to; ++step) {
      const std::vector<float> gradient = gradient_of(rank, step);
      ASSERT_TRUE(worker.push_pull(tensor, gradient.data(), result->data()).ok());
      ASSERT_TRUE(worker.wait_all().ok());
    }
  };
  run_ranks(1, [&](Worker& worker, uint32_t rank) {
    const auto tensors = worker.register_tensors(specs);
    ASSERT_TRUE(tensors.ok());
    train(worker, (*tensors)[0], rank, 1, 5, &straight);
    ASSERT_TRUE(worker.read_state((*tensors)[0], StateKind::weights, weights).ok());
    ASSERT_TRUE(worker.read_state((*tensors)[0], StateKind::first_moment, first).ok());
    ASSERT_TRUE(worker.read_state((*tensors)[0], StateKind::second_moment, second).ok());
    const Result<uint64_t> count = worker.read_step_count((*tensors)[0]);
    ASSERT_TRUE(count.ok());
    steps = *count;
    train(worker, (*tensors)[0], rank, 6, 9, &straight);
  });
  EXPECT_EQ(steps, 5u);
  run_ranks(
      1,
      [&](Worker& worker, uint32_t rank) {
        const auto tensors = worker.register_tensors(specs);
        ASSERT_TRUE(tensors.ok());
        ASSERT_TRUE(worker.write_state((*tensors)[0], StateKind::weights, weights).ok());
        ASSERT_TRUE(worker.write_state((*tensors)[0], StateKind::first_moment, first).ok());
        ASSERT_TRUE(worker.write_state((*tensors)[0], StateKind::second_moment, second).ok());
        ASSERT_TRUE(worker.write_step_count((*tensors)[0], steps).ok());
        std::vector<float> resumed(kCount);
        train(worker, (*tensors)[0], rank, 6, 9, &resumed);
        EXPECT_EQ(resumed, straight);
        EXPECT_EQ(worker.read_state((*tensors)[0], StateKind::weights, {}).code(),
                  Code::invalid_argument);
      },
      "resumed");
}

TEST_F(HubOptimizerTest, SixteenBitTensorsKeepAFloat32Master) {
  start_hub();
  TensorSpec spec = optimized(OptimizerKind::sgd, DataType::bf16);
  spec.optimizer.weight_decay = 0;
  spec.optimizer.learning_rate = 1e-4f;  // One step alone is below half an ulp of bf16.
  const std::vector<TensorSpec> specs = {spec};
  run_ranks(2, [&](Worker& worker, uint32_t) {
    const auto tensors = worker.register_tensors(specs);
    ASSERT_TRUE(tensors.ok());
    std::vector<uint16_t> data(kCount, kernels::scalar::to_bf16(1.0f));
    ASSERT_TRUE(worker.broadcast((*tensors)[0], data.data(), Rank{0}).ok());
    ASSERT_TRUE(worker.wait_all().ok());
    const std::vector<uint16_t> gradient(kCount, kernels::scalar::to_bf16(1.0f));
    for (int step = 0; step < 1000; ++step) {
      ASSERT_TRUE(worker.push_pull((*tensors)[0], gradient.data(), data.data()).ok());
      ASSERT_TRUE(worker.wait_all().ok());
    }
    EXPECT_NEAR(kernels::scalar::from_bf16(data[5]), 0.9, 0.004);
    std::vector<float> master(kCount);
    ASSERT_TRUE(worker.read_state((*tensors)[0], StateKind::weights, master).ok());
    EXPECT_NEAR(master[5], 0.9, 1e-4);
  });
}

}  // namespace
}  // namespace phub::process
