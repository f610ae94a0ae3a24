// The C ABI: each call checks its pointers, translates, and calls the Worker.
//
// No exception may pass into C: what the standard library throws (memory is used up) becomes a
// status.
#include <phub/phub.h>
#include <phub/worker.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "base/try.h"
#include "worker_lib/c_api_call.h"

struct phub_worker {
  phub::Worker worker;
};

namespace {

using namespace phub::client::c_api;
using phub::Code;
using phub::Result;
using phub::Status;
using phub::TensorId;

static_assert(static_cast<int>(Code::ok) == PHUB_OK);
static_assert(static_cast<int>(Code::internal) == PHUB_INTERNAL);
static_assert(static_cast<int>(phub::DataType::int64) == PHUB_INT64);
static_assert(static_cast<int>(phub::ReduceOp::product) == PHUB_PRODUCT);
static_assert(static_cast<int>(phub::OptimizerKind::adamw) == PHUB_ADAMW);
static_assert(static_cast<int>(phub::Progress::thread) == PHUB_PROGRESS_THREAD);
static_assert(static_cast<int>(phub::StateKind::second_moment) == PHUB_SECOND_MOMENT);

template <typename Enum>
Result<Enum> checked(int32_t value, Enum last, const char* what) {
  if (value >= 0 && value <= static_cast<int32_t>(last)) return static_cast<Enum>(value);
  return Status(Code::invalid_argument, std::string(what) + " = " + std::to_string(value) +
                                            "; want 0 to " +
                                            std::to_string(static_cast<int32_t>(last)));
}

Result<phub::WorkerOptions> convert_options(const phub_options* given) {
  if (given == nullptr) return phub::WorkerOptions::from_environment();
  PHUB_TRY_ASSIGN(const phub_options from, sized_copy(given, "options"));
  phub::WorkerOptions to;
  if (from.hub != nullptr) to.hub = from.hub;
  if (from.job != nullptr) to.job.name = from.job;
  if (from.secret != nullptr) to.job.secret = from.secret;
  if (from.chunk_elements != 0) to.job.chunk_elements = from.chunk_elements;
  if (from.join_timeout_ms != 0) to.join_timeout = std::chrono::milliseconds(from.join_timeout_ms);
  if (from.wait_timeout_ms != 0) to.wait_timeout = std::chrono::milliseconds(from.wait_timeout_ms);
  if (from.tls_ca != nullptr) to.tls_ca = from.tls_ca;
  if (from.tls_cert != nullptr) to.tls_cert = from.tls_cert;
  if (from.tls_key != nullptr) to.tls_key = from.tls_key;
  for (const char* const* pair = from.network; pair != nullptr && *pair != nullptr; pair += 2) {
    if (pair[1] == nullptr) return null_argument("the value of a network option");
    to.network[pair[0]] = pair[1];
  }
  to.job.rank_count = from.rank_count;
  if (from.rank >= phub::kRankCountMax) {
    return Status(Code::invalid_argument, "rank = " + std::to_string(from.rank) + "; want 0 to " +
                                              std::to_string(phub::kRankCountMax - 1));
  }
  to.rank = phub::Rank{static_cast<uint16_t>(from.rank)};
  PHUB_TRY_ASSIGN(to.progress, checked(from.progress, phub::Progress::thread, "progress"));
  return to;
}

Result<phub::TensorSpec> convert_tensor(const phub_tensor& from) {
  if (from.name == nullptr) return null_argument("name");
  phub::TensorSpec to;
  to.name = from.name;
  to.count = from.count;
  to.priority = from.priority;
  PHUB_TRY_ASSIGN(to.type, checked(from.type, phub::DataType::int64, "type"));
  PHUB_TRY_ASSIGN(to.op, checked(from.op, phub::ReduceOp::product, "op"));
  PHUB_TRY_ASSIGN(to.optimizer.kind,
                  checked(from.optimizer, phub::OptimizerKind::adamw, "optimizer"));
  to.optimizer.learning_rate = from.learning_rate;
  to.optimizer.momentum = from.momentum;
  to.optimizer.dampening = from.dampening;
  to.optimizer.weight_decay = from.weight_decay;
  to.optimizer.beta1 = from.beta1;
  to.optimizer.beta2 = from.beta2;
  to.optimizer.epsilon = from.epsilon;
  to.optimizer.clip_global_norm = from.clip_global_norm;
  return to;
}

phub::Callback convert_callback(phub_callback callback, void* context) {
  if (callback == nullptr) return {};
  return [callback, context](const Status& status) {
    callback(context, static_cast<phub_status>(status.code()), status.message().c_str());
  };
}

// start() runs and its Operation is handed out.
template <typename Start>
phub_status started(phub_worker* worker, phub_operation* operation, Start start) {
  return guarded([&]() -> Status {
    if (worker == nullptr) return null_argument("worker");
    PHUB_TRY_ASSIGN(const phub::Operation value, start(worker->worker));
    if (operation != nullptr) *operation = {index_of(value.tensor), value.round};
    return {};
  });
}

// As call(), with the worker checked.
template <typename Call>
phub_status on_worker(phub_worker* worker, Call call) {
  return guarded([&]() -> Status {
    if (worker == nullptr) return null_argument("worker");
    return call(worker->worker);
  });
}

phub::Operation convert(phub_operation operation) {
  return {TensorId{operation.tensor}, operation.round};
}

}  // namespace

extern "C" {

const char* phub_version(void) { return PHUB_VERSION; }

const char* phub_status_name(phub_status status) {
  return phub::to_string(static_cast<Code>(status)).data();
}

const char* phub_last_error(void) {
  return last_exception != nullptr ? last_exception : last_error.c_str();
}

void phub_options_init(phub_options* options) {
  const phub::WorkerOptions defaults;
  *options = phub_options{};
  options->struct_size = sizeof(*options);
  options->chunk_elements = defaults.job.chunk_elements;
  options->join_timeout_ms = defaults.join_timeout.count();
  options->wait_timeout_ms = defaults.wait_timeout.count();
}

void phub_tensor_init(phub_tensor* tensor) {
  const phub::OptimizerOptions defaults;
  *tensor = phub_tensor{};
  tensor->struct_size = sizeof(*tensor);
  tensor->learning_rate = defaults.learning_rate;
  tensor->momentum = defaults.momentum;
  tensor->dampening = defaults.dampening;
  tensor->weight_decay = defaults.weight_decay;
  tensor->beta1 = defaults.beta1;
  tensor->beta2 = defaults.beta2;
  tensor->epsilon = defaults.epsilon;
  tensor->clip_global_norm = defaults.clip_global_norm;
}

phub_status phub_connect(const phub_options* options, phub_worker** worker) {
  return guarded([&]() -> Status {
    if (worker == nullptr) return null_argument("worker");
    *worker = nullptr;
    PHUB_TRY_ASSIGN(const phub::WorkerOptions converted, convert_options(options));
    PHUB_TRY_ASSIGN(phub::Worker connected, phub::Worker::connect(converted));
    *worker = new phub_worker{std::move(connected)};
    return {};
  });
}

void phub_destroy(phub_worker* worker) { delete worker; }

uint32_t phub_rank(const phub_worker* worker) { return index_of(worker->worker.rank()); }
uint32_t phub_rank_count(const phub_worker* worker) { return worker->worker.rank_count(); }

phub_status phub_allocate(phub_worker* worker, size_t bytes, void** memory) {
  return on_worker(worker, [&](phub::Worker& w) -> Status {
    if (memory == nullptr) return null_argument("memory");
    *memory = nullptr;
    PHUB_TRY_ASSIGN(const std::span<std::byte> region, w.allocate(bytes));
    *memory = region.data();
    return {};
  });
}

phub_status phub_register_tensors(phub_worker* worker, const phub_tensor* tensors, size_t count,
                                  void* const* results) {
  return on_worker(worker, [&](phub::Worker& w) -> Status {
    if (tensors == nullptr) return null_argument("tensors");
    std::vector<phub::TensorSpec> specs;
    const std::byte* next = reinterpret_cast<const std::byte*>(tensors);
    for (size_t i = 0; i < count; ++i) {
      // The caller's struct may be shorter or longer than this library's: so is its array's step.
      const auto* const given = reinterpret_cast<const phub_tensor*>(next);
      const std::string which = "tensors[" + std::to_string(i) + "]";
      PHUB_TRY_ASSIGN(const phub_tensor tensor, sized_copy(given, which.c_str()));
      Result<phub::TensorSpec> spec = convert_tensor(tensor);
      if (!spec.ok()) return spec.status().with_context(which);
      specs.push_back(std::move(spec).value());
      next += given->struct_size;
    }
    const std::span<void* const> places(results, results == nullptr ? 0 : count);
    return w.register_tensors(specs, places).status();
  });
}

void* phub_result(phub_worker* worker, uint32_t tensor) {
  void* result = nullptr;
  on_worker(worker, [&](phub::Worker& w) {
    result = w.result(TensorId{tensor}).data();
    return Status();
  });
  return result;
}

phub_status phub_push_pull(phub_worker* worker, uint32_t tensor, const void* gradient, void* result,
                           phub_callback callback, void* context, phub_operation* operation) {
  return started(worker, operation, [&](phub::Worker& w) {
    return w.push_pull(TensorId{tensor}, gradient, result, convert_callback(callback, context));
  });
}

phub_status phub_push(phub_worker* worker, uint32_t tensor, const void* gradient,
                      phub_callback callback, void* context, phub_operation* operation) {
  return started(worker, operation, [&](phub::Worker& w) {
    return w.push(TensorId{tensor}, gradient, convert_callback(callback, context));
  });
}

phub_status phub_pull(phub_worker* worker, uint32_t tensor, void* result, phub_callback callback,
                      void* context, phub_operation* operation) {
  return started(worker, operation, [&](phub::Worker& w) {
    return w.pull(TensorId{tensor}, result, convert_callback(callback, context));
  });
}

phub_status phub_broadcast(phub_worker* worker, uint32_t tensor, void* data, uint32_t root,
                           phub_callback callback, void* context, phub_operation* operation) {
  return started(worker, operation, [&](phub::Worker& w) -> Result<phub::Operation> {
    if (root >= w.rank_count()) {
      return Status(Code::invalid_argument, "broadcast: root is rank " + std::to_string(root) +
                                                ", but ranks go from 0 to " +
                                                std::to_string(w.rank_count() - 1));
    }
    return w.broadcast(TensorId{tensor}, data, phub::Rank{static_cast<uint16_t>(root)},
                       convert_callback(callback, context));
  });
}

phub_status phub_wait(phub_worker* worker, phub_operation operation, int64_t timeout_ms) {
  return on_worker(worker, [&](phub::Worker& w) {
    if (timeout_ms < 0) return w.wait(convert(operation));
    return w.wait(convert(operation), std::chrono::milliseconds(timeout_ms));
  });
}

phub_status phub_wait_all(phub_worker* worker, int64_t timeout_ms) {
  return on_worker(worker, [&](phub::Worker& w) {
    return timeout_ms < 0 ? w.wait_all() : w.wait_all(std::chrono::milliseconds(timeout_ms));
  });
}

phub_status phub_barrier(phub_worker* worker, int64_t timeout_ms) {
  return on_worker(worker, [&](phub::Worker& w) {
    return timeout_ms < 0 ? w.barrier() : w.barrier(std::chrono::milliseconds(timeout_ms));
  });
}

int phub_is_done(phub_worker* worker, phub_operation operation) {
  bool is_done = false;
  on_worker(worker, [&](phub::Worker& w) {
    is_done = w.is_done(convert(operation));
    return Status();
  });
  return is_done ? 1 : 0;
}

void phub_poll(phub_worker* worker) {
  on_worker(worker, [](phub::Worker& w) {
    w.poll();
    return Status();
  });
}

phub_status phub_set_step(phub_worker* worker, float learning_rate, float gradient_scale,
                          int skip) {
  return on_worker(worker, [&](phub::Worker& w) {
    return w.set_step({learning_rate, gradient_scale, skip != 0});
  });
}

phub_status phub_read_state(phub_worker* worker, uint32_t tensor, int32_t kind, float* values,
                            size_t count) {
  return on_worker(worker, [&](phub::Worker& w) -> Status {
    PHUB_TRY_ASSIGN(const auto state, checked(kind, phub::StateKind::second_moment, "kind"));
    return w.read_state(TensorId{tensor}, state, {values, count});
  });
}

phub_status phub_write_state(phub_worker* worker, uint32_t tensor, int32_t kind,
                             const float* values, size_t count) {
  return on_worker(worker, [&](phub::Worker& w) -> Status {
    PHUB_TRY_ASSIGN(const auto state, checked(kind, phub::StateKind::second_moment, "kind"));
    return w.write_state(TensorId{tensor}, state, {values, count});
  });
}

phub_status phub_read_step_count(phub_worker* worker, uint32_t tensor, uint64_t* step_count) {
  return on_worker(worker, [&](phub::Worker& w) -> Status {
    if (step_count == nullptr) return null_argument("step_count");
    PHUB_TRY_ASSIGN(*step_count, w.read_step_count(TensorId{tensor}));
    return {};
  });
}

phub_status phub_write_step_count(phub_worker* worker, uint32_t tensor, uint64_t step_count) {
  return on_worker(
      worker, [&](phub::Worker& w) { return w.write_step_count(TensorId{tensor}, step_count); });
}

phub_status phub_leave(phub_worker* worker) {
  return on_worker(worker, [](phub::Worker& w) { return w.leave(); });
}

phub_status phub_get_stats(const phub_worker* worker, phub_stats* stats) {
  return guarded([&]() -> Status {
    if (worker == nullptr) return null_argument("worker");
    if (stats == nullptr) return null_argument("stats");
    const size_t room = stats->struct_size;
    if (room < sizeof(size_t)) {
      return Status(Code::invalid_argument, "stats.struct_size is " + std::to_string(room) +
                                                "; set it to sizeof(phub_stats)");
    }
    const phub::WorkerStats now = worker->worker.stats();
    const phub_stats all = {room, now.pushed_bytes, now.pulled_bytes, now.copied_bytes, now.rounds};
    std::memcpy(static_cast<void*>(stats), &all, std::min(room, sizeof(all)));
    return {};
  });
}

}  // extern "C"
