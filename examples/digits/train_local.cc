#include "train_local.h"

#include <algorithm>

namespace digits {
namespace {

// Four tensors in one vector.
class Storage {
 public:
  Storage() {
    size_t count = 0;
    for (const TensorShape& shape : kTensorShapes) count += shape.count;
    values_.resize(count);
  }
  Tensors tensors() {
    Tensors spans;
    size_t begin = 0;
    for (size_t i = 0; i < kTensorCount; ++i) {
      spans[i] = std::span(values_).subspan(begin, kTensorShapes[i].count);
      begin += kTensorShapes[i].count;
    }
    return spans;
  }
  std::vector<float>& values() { return values_; }

 private:
  std::vector<float> values_;
};

struct Model {
  Storage weights, velocity, gradient, share;
};

// velocity = momentum * velocity + gradient; weights -= learning_rate * velocity.
void optimize(const Options& options, Model& model) {
  for (size_t i = 0; i < model.weights.values().size(); ++i) {
    float& velocity = model.velocity.values()[i];
    velocity = options.momentum * velocity + model.gradient.values()[i];
    model.weights.values()[i] -= options.learning_rate * velocity;
  }
}

// One step; returns the sum of the losses.
double step(const Options& options, const Dataset& train, std::span<const uint32_t> batch,
            Model& model) {
  const float scale = 1.0f / static_cast<float>(batch.size());
  const Tensors weights = model.weights.tensors();
  double loss = 0;
  for (uint32_t rank = 0; rank < options.rank_count; ++rank) {
    loss += compute_gradient(weights, train, share_of(batch, rank, options.rank_count), scale,
                             model.share.tensors());
    std::vector<float>& sum = model.gradient.values();
    if (rank == 0) {
      sum = model.share.values();
    } else {
      std::ranges::transform(sum, model.share.values(), sum.begin(), std::plus<float>());
    }
  }
  optimize(options, model);
  return loss;
}

}  // namespace

phub::Status train_local(const Options& options, const Split& data) {
  Model model;
  initialize(model.weights.tensors(), options.seed);
  for (uint32_t epoch = 1; epoch <= options.epoch_count; ++epoch) {
    const std::vector<uint32_t> order = epoch_order(options, data.train.size(), epoch);
    double loss = 0;
    for (size_t begin = 0; begin < order.size(); begin += options.batch_size) {
      const size_t count = std::min<size_t>(options.batch_size, order.size() - begin);
      loss += step(options, data.train, std::span(order).subspan(begin, count), model);
    }
    show_epoch(options, epoch, loss / static_cast<double>(order.size()), model.weights.tensors(),
               data.test);
  }
  show_result("one process", model.weights.tensors(), data.test);
  return {};
}

}  // namespace digits
