#include "worker_lib/validate.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <string_view>

#include "base/try.h"

namespace phub::client {
namespace {

constexpr size_t kJobNameBytesMax = 64;
constexpr size_t kTensorNameBytesMax = 200;
constexpr uint32_t kChunkElementsMin = 64;
constexpr uint32_t kChunkElementsMax = 4'194'304;

Status invalid(std::string message) { return Status(Code::invalid_argument, std::move(message)); }

bool is_name_character(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

Status check_job(const JobSpec& job) {
  if (job.name.empty() || job.name.size() > kJobNameBytesMax ||
      !std::all_of(job.name.begin(), job.name.end(), is_name_character)) {
    return invalid("job name \"" + job.name + "\" is not 1 to 64 of [A-Za-z0-9._-]");
  }
  const std::string shown = "job \"" + job.name + "\": ";
  if (job.rank_count == 0) {
    return invalid(
        shown +
        "rank_count is 0: PHUB_RANK and PHUB_SIZE are not set; start under mpirun, srun, "
        "torchrun, or set both (or rank_count, 1 to " +
        std::to_string(kRankCountMax) + ")");
  }
  if (job.rank_count > kRankCountMax) {
    return invalid(shown + "rank_count = " + std::to_string(job.rank_count) + "; use at most " +
                   std::to_string(kRankCountMax));
  }
  if (job.chunk_elements < kChunkElementsMin || job.chunk_elements > kChunkElementsMax ||
      job.chunk_elements % kChunkElementsMin != 0) {
    return invalid(shown + "chunk_elements = " + std::to_string(job.chunk_elements) +
                   "; want a multiple of 64 from 64 to 4194304");
  }
  return {};
}

bool is_fraction(float value) { return value >= 0 && value < 1; }  // NaN is not.
bool is_finite_from_zero(float value) { return std::isfinite(value) && value >= 0; }

Status check_optimizer(const OptimizerOptions& o, DataType type) {
  if (o.kind == OptimizerKind::none) return {};
  const std::string name(to_string(o.kind));
  if (type != DataType::fp32 && type != DataType::fp16 && type != DataType::bf16) {
    return invalid("optimizer " + name + " cannot work on " + std::string(to_string(type)) +
                   "; use fp32, fp16 or bf16, or no optimizer");
  }
  const auto refuse = [&](std::string_view field, float value, std::string_view want) {
    return invalid("optimizer " + name + ": " + std::string(field) + " = " + std::to_string(value) +
                   "; want " + std::string(want));
  };
  if (!std::isfinite(o.learning_rate)) {
    return refuse("learning_rate", o.learning_rate, "a finite number");
  }
  if (!is_finite_from_zero(o.momentum)) return refuse("momentum", o.momentum, "0 or more");
  if (!std::isfinite(o.dampening)) return refuse("dampening", o.dampening, "a finite number");
  if (!is_finite_from_zero(o.weight_decay)) {
    return refuse("weight_decay", o.weight_decay, "0 or more");
  }
  if (!is_fraction(o.beta1)) return refuse("beta1", o.beta1, "0 to less than 1");
  if (!is_fraction(o.beta2)) return refuse("beta2", o.beta2, "0 to less than 1");
  if (!is_finite_from_zero(o.epsilon)) return refuse("epsilon", o.epsilon, "0 or more");
  if (!is_finite_from_zero(o.clip_global_norm)) {
    return refuse("clip_global_norm", o.clip_global_norm, "0 (off) or more");
  }
  return {};
}

Status check_spec(const TensorSpec& spec) {
  if (spec.name.empty()) return invalid("has no name");
  if (spec.name.size() > kTensorNameBytesMax) {
    return invalid("the name has " + std::to_string(spec.name.size()) + " bytes; use at most 200");
  }
  if (size_of(spec.type) == 0 || to_string(spec.op) == "unknown" ||
      to_string(spec.optimizer.kind) == "unknown") {
    return invalid("type, op or optimizer is not one of the library's");
  }
  if (spec.count == 0) return invalid("has no elements; want at least 1");
  if (spec.count > UINT64_MAX / 16) {
    return invalid(std::to_string(spec.count) + " elements are more than any memory holds");
  }
  return check_optimizer(spec.optimizer, spec.type);
}

}  // namespace

Status check_options(const WorkerOptions& options) {
  PHUB_TRY(check_job(options.job));
  if (index_of(options.rank) >= options.job.rank_count) {
    return invalid("rank " + std::to_string(index_of(options.rank)) + " of job \"" +
                   options.job.name + "\": ranks go from 0 to " +
                   std::to_string(options.job.rank_count - 1));
  }
  if (options.join_timeout.count() <= 0 || options.wait_timeout.count() <= 0) {
    return invalid("join_timeout and wait_timeout must be longer than nothing");
  }
  return {};
}

Status check_specs(std::span<const TensorSpec> specs) {
  if (specs.empty()) return invalid("no tensors; register at least one");
  std::set<std::string_view> names;
  for (size_t i = 0; i < specs.size(); ++i) {
    const std::string shown =
        "tensor " + std::to_string(i) + " \"" + specs[i].name.substr(0, kTensorNameBytesMax) + "\"";
    if (const Status status = check_spec(specs[i]); !status.ok()) {
      return status.with_context(shown);
    }
    if (!names.insert(specs[i].name).second) {
      return invalid(shown + ": an earlier tensor has the same name; make them unique");
    }
  }
  return {};
}

Status check_settings(const StepSettings& settings) {
  if (!std::isfinite(settings.learning_rate) || !std::isfinite(settings.gradient_scale)) {
    return invalid("learning_rate = " + std::to_string(settings.learning_rate) +
                   ", gradient_scale = " + std::to_string(settings.gradient_scale) +
                   "; want finite numbers");
  }
  return {};
}

}  // namespace phub::client
