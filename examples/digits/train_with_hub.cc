#include "train_with_hub.h"

#include <phub/worker.h>

#include <algorithm>
#include <string>

namespace digits {
namespace {

using phub::Operation;
using phub::Rank;
using phub::Result;
using phub::Status;
using phub::TensorId;
using phub::Worker;

// This rank's tensors in memory that the hub reads and writes without a copy.
struct Model {
  std::vector<TensorId> ids;
  Tensors weights;   // Where the hub puts the new weights.
  Tensors gradient;  // This rank's share.
};

std::span<float> floats(std::span<std::byte> bytes) {
  return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
}

std::vector<phub::TensorSpec> tensor_specs(const Options& options) {
  std::vector<phub::TensorSpec> specs;
  int32_t priority = kTensorCount;
  for (const TensorShape& shape : kTensorShapes) {
    specs.push_back({.name = shape.name,
                     .count = shape.count,
                     .optimizer = {.kind = phub::OptimizerKind::momentum,
                                   .learning_rate = options.learning_rate,
                                   .momentum = options.momentum},
                     .priority = priority--});
  }
  return specs;
}

Result<Model> register_model(const Options& options, Worker& worker) {
  Model model;
  for (size_t i = 0; i < kTensorCount; ++i) {
    Result<std::span<std::byte>> memory = worker.allocate(kTensorShapes[i].count * sizeof(float));
    if (!memory.ok()) return memory.status();
    model.gradient[i] = floats(*memory);
  }
  Result<std::vector<TensorId>> ids = worker.register_tensors(tensor_specs(options));
  if (!ids.ok()) return ids.status();
  model.ids = *std::move(ids);
  for (size_t i = 0; i < kTensorCount; ++i) model.weights[i] = floats(worker.result(model.ids[i]));
  return model;
}

// Rank 0's weights become the hub's and everybody's.
Status broadcast_weights(const Options& options, Worker& worker, const Model& model) {
  if (worker.rank() == Rank{0}) initialize(model.weights, options.seed);
  for (size_t i = 0; i < kTensorCount; ++i) {
    const Result<Operation> operation =
        worker.broadcast(model.ids[i], model.weights[i].data(), Rank{0});
    if (!operation.ok()) return operation.status();
  }
  return worker.wait_all();
}

// The hub adds the shares, takes the optimizer's step, and writes the new weights in place.
Status exchange(Worker& worker, const Model& model) {
  for (size_t i = 0; i < kTensorCount; ++i) {
    const Result<Operation> operation =
        worker.push_pull(model.ids[i], model.gradient[i].data(), model.weights[i].data());
    if (!operation.ok()) return operation.status();
  }
  return worker.wait_all();
}

Result<Worker> connect() {
  Result<phub::WorkerOptions> options = phub::WorkerOptions::from_environment();
  if (!options.ok()) return options.status();
  return Worker::connect(*options);
}

}  // namespace

Status train_with_hub(const Options& options, const Split& data) {
  Result<Worker> worker = connect();
  if (!worker.ok()) return worker.status();
  Result<Model> model = register_model(options, *worker);
  if (!model.ok()) return model.status();
  if (Status status = broadcast_weights(options, *worker, *model); !status.ok()) return status;

  const uint32_t rank = index_of(worker->rank());
  const uint32_t rank_count = worker->rank_count();
  for (uint32_t epoch = 1; epoch <= options.epoch_count; ++epoch) {
    const std::vector<uint32_t> order = epoch_order(options, data.train.size(), epoch);
    double loss = 0;
    for (size_t begin = 0; begin < order.size(); begin += options.batch_size) {
      const size_t count = std::min<size_t>(options.batch_size, order.size() - begin);
      const auto share = share_of(std::span(order).subspan(begin, count), rank, rank_count);
      loss += compute_gradient(model->weights, data.train, share, 1.0f / static_cast<float>(count),
                               model->gradient);
      if (Status status = exchange(*worker, *model); !status.ok()) return status;
    }
    // Only this rank's share of the loss is known here: scaled up, it stands for the whole.
    const double mean_loss = loss * rank_count / static_cast<double>(order.size());
    if (rank == 0) show_epoch(options, epoch, mean_loss, model->weights, data.test);
  }
  const std::string who = "rank " + std::to_string(rank) + " of " + std::to_string(rank_count);
  show_result(who, model->weights, data.test);
  return worker->leave();
}

}  // namespace digits
