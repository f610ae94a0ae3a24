// What a trainer and a hub agree on: element types, reductions, tensors, optimizers, jobs.
//
// Plain values; no behaviour beyond names and sizes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace phub {

// A participant of a job, dense from 0.
enum class Rank : uint16_t {};
// A tensor of a job, dense from 0 in the order of registration.
enum class TensorId : uint32_t {};

constexpr uint32_t index_of(Rank rank) { return static_cast<uint32_t>(rank); }
constexpr uint32_t index_of(TensorId tensor) { return static_cast<uint32_t>(tensor); }

constexpr uint32_t kRankCountMax = 1024;

// Element types. fp16 is IEEE binary16; bf16 is the upper half of a float32.
// Sums of fp16 and bf16 are accumulated in float32 and rounded once, to nearest even.
// Integers wrap around as two's complement.
enum class DataType : uint8_t { fp32 = 0, fp16, bf16, fp64, int32, int64 };

// Bytes of one element.
constexpr size_t size_of(DataType type) {
  switch (type) {
    case DataType::fp32:
      return 4;
    case DataType::fp16:
      return 2;
    case DataType::bf16:
      return 2;
    case DataType::fp64:
      return 8;
    case DataType::int32:
      return 4;
    case DataType::int64:
      return 8;
  }
  return 0;
}

// How the ranks' contributions become one, as a strict left fold in rank order.
// mean: the sum divided by the number of ranks that contributed (integers: truncated toward zero).
// min and max: a NaN from any rank gives NaN.
enum class ReduceOp : uint8_t { sum = 0, mean, min, max, product };

// What the hub does with the reduced gradient. none: it hands the reduction itself to every rank.
// The others keep weights at the hub and hand out the new weights; formulas as in PyTorch's
// documentation of SGD, Adam and AdamW. Only for fp32, fp16 and bf16 tensors; the hub's weights and
// state are float32 throughout.
enum class OptimizerKind : uint8_t { none = 0, sgd, momentum, nesterov, adam, adamw };

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::none;
  float learning_rate = 0.01f;
  float momentum = 0.9f;   // momentum, nesterov.
  float dampening = 0.0f;  // momentum.
  float weight_decay =
      0.0f;               // sgd, momentum, nesterov, adam: added to the gradient. adamw: decoupled.
  float beta1 = 0.9f;     // adam, adamw.
  float beta2 = 0.999f;   // adam, adamw.
  float epsilon = 1e-8f;  // adam, adamw.
  // > 0: scale all gradients of a step to at most this 2-norm. A step of the tensors that clip is
  // taken when all of them have been pushed by all ranks: push each in every step. Refused
  // (unimplemented) in a job over several hubs: the norm needs every chunk in one place.
  float clip_global_norm = 0;

  bool operator==(const OptimizerOptions&) const = default;
};

// What rank 0 may change before a step. Applies to every round that rank 0 starts afterwards.
struct StepSettings {
  float learning_rate = 0.01f;  // Of every tensor, in place of its own.
  float gradient_scale = 1.0f;  // The reduced gradient is multiplied by this first (loss scaling).
  bool skip = false;  // Weights and optimizer state stay as they are; they are still sent.

  bool operator==(const StepSettings&) const = default;
};

// Which of the hub's state of a tensor: weights, first moment (or momentum), second moment.
enum class StateKind : uint8_t { weights = 0, first_moment, second_moment };

// One tensor as a trainer registers it. All ranks must register the same tensors in the same order.
struct TensorSpec {
  std::string name;  // For messages and metrics; unique in the job; at most 200 bytes.
  DataType type = DataType::fp32;
  uint64_t count = 0;  // Elements; at least 1.
  ReduceOp op = ReduceOp::sum;
  OptimizerOptions optimizer = {};
  // When chunks queue up, the tensor with the larger priority goes first. Trainers give front
  // layers, which the next forward pass needs first, the larger number.
  int32_t priority = 0;
};

// What a job is, apart from its tensors. The rank that joins first creates the job with its spec;
// a later rank with another spec is refused.
struct JobSpec {
  std::string name = "default";    // 1 to 64 of [A-Za-z0-9._-].
  std::string secret;              // Shared by the job's ranks; never crosses the wire.
  uint32_t rank_count = 0;         // 1 to kRankCountMax.
  uint32_t chunk_elements = 8192;  // Elements per chunk: 64 to 4,194,304, a multiple of 64.
};

std::string_view to_string(DataType type);
std::string_view to_string(ReduceOp op);
std::string_view to_string(OptimizerKind kind);

}  // namespace phub
