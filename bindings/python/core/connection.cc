#include "connection.h"

#include <algorithm>
#include <span>

#include "errors.h"
#include "graveyard.h"
#include "interpreter.h"
#include "milliseconds.h"

namespace phub::python {
namespace {

constexpr std::chrono::milliseconds kCloseTime{1000};

template <typename T>
void set(T& option, const std::optional<T>& given) {
  if (given.has_value()) option = *given;
}

WorkerOptions options_of(const ConnectArguments& arguments) {
  WorkerOptions options = value_or_raise(WorkerOptions::from_environment());
  set(options.hub, arguments.hub);
  set(options.job.name, arguments.job);
  set(options.job.secret, arguments.secret);
  set(options.job.rank_count, arguments.size);
  set(options.job.chunk_elements, arguments.chunk_elements);
  set(options.tls_ca, arguments.tls_ca);
  set(options.tls_cert, arguments.tls_cert);
  set(options.tls_key, arguments.tls_key);
  set(options.network, arguments.network);
  if (arguments.rank.has_value()) {
    if (*arguments.rank >= kRankCountMax) {
      raise(Code::invalid_argument, "rank " + std::to_string(*arguments.rank) + "; want 0 to " +
                                        std::to_string(kRankCountMax - 1));
    }
    options.rank = Rank{static_cast<uint16_t>(*arguments.rank)};
  }
  if (arguments.join_timeout) options.join_timeout = to_milliseconds(*arguments.join_timeout);
  if (arguments.wait_timeout) options.wait_timeout = to_milliseconds(*arguments.wait_timeout);
  if (arguments.progress == "caller") {
    options.progress = Progress::caller;
  } else if (arguments.progress == "thread") {
    options.progress = Progress::thread;
  } else if (arguments.progress.has_value() && arguments.progress != "auto") {
    raise(Code::invalid_argument,
          "progress is \"" + *arguments.progress + "\"; want auto, caller or thread");
  }
  // Futures, callbacks and `await` need somebody who moves the bytes while Python does other
  // things.
  if (options.progress == Progress::automatic) options.progress = Progress::thread;
  return options;
}

TensorSpec spec_of(const SpecTuple& tuple) {
  TensorSpec spec;
  OptimizerTuple optimizer;
  int type = 0;
  int op = 0;
  std::tie(spec.name, type, spec.count, op, spec.priority, optimizer) = tuple;
  spec.type = static_cast<DataType>(type);
  spec.op = static_cast<ReduceOp>(op);
  int kind = 0;
  OptimizerOptions& o = spec.optimizer;
  std::tie(kind, o.learning_rate, o.momentum, o.dampening, o.weight_decay, o.beta1, o.beta2,
           o.epsilon, o.clip_global_norm) = optimizer;
  o.kind = static_cast<OptimizerKind>(kind);
  return spec;
}

void* address_of(const Array& array) { return const_cast<void*>(array.data()); }

template <typename Call>
auto without_gil(Call call) {
  const nb::gil_scoped_release unlocked;
  return call();
}

}  // namespace

Connection::Connection(HandlePtr handle, bool has_thread)
    : handle_(std::move(handle)),
      made_in_(handle_->made_in),
      rank_(index_of(handle_->worker.rank())),
      size_(handle_->worker.rank_count()),
      has_thread_(has_thread) {}

Connection Connection::connect(const ConnectArguments& arguments) {
  bury_dead();
  const WorkerOptions options = options_of(arguments);
  Result<Worker> worker = without_gil([&] { return Worker::connect(options); });
  const bool has_thread = options.progress == Progress::thread;
  return Connection(
      make_handle(value_or_raise(std::move(worker)), has_thread, options.wait_timeout), has_thread);
}

bool Connection::is_foreign() const { return made_in_ != fork_count(); }

double Connection::wait_timeout() const {
  return static_cast<double>(open("wait_timeout")->wait_timeout.count()) / 1000;
}

HandlePtr Connection::open(const char* call) const {
  if (is_foreign()) {
    raise(Code::failed_precondition,
          std::string(call) +
              ": this Worker belongs to the process that forked this one; connect here, too");
  }
  if (handle_ != nullptr) return handle_;
  raise(Code::failed_precondition, std::string(call) + ": this Worker is closed; connect again");
}

nb::object Connection::allocate(const std::vector<size_t>& shape, int type) {
  const HandlePtr handle = open("allocate");
  size_t bytes = size_of(static_cast<DataType>(type));
  for (const size_t length : shape) bytes *= length;
  const std::span<std::byte> memory = value_or_raise(handle->worker.allocate(bytes));
  return make_array(memory.data(), shape, static_cast<DataType>(type), make_owner(handle));
}

void Connection::register_tensors(const std::vector<SpecTuple>& tuples,
                                  const std::vector<nb::object>& results) {
  const HandlePtr handle = open("register_tensors");
  TensorTable table;
  for (const SpecTuple& tuple : tuples) table.specs.push_back(spec_of(tuple));
  std::vector<Array> arrays;  // Keeps what DLPack lent until the library has seen it.
  std::vector<void*> addresses;
  for (uint32_t i = 0; i < results.size() && i < table.specs.size(); ++i) {
    const TensorSpec& spec = table.specs[i];
    addresses.push_back(nullptr);
    if (results[i].is_none()) continue;
    arrays.push_back(
        array_of(results[i], spec.type, Access::write, {"register_tensors", i, spec, "result"}));
    addresses.back() = address_of(arrays.back());
  }
  const auto ids =
      without_gil([&] { return handle->worker.register_tensors(table.specs, addresses); });
  raise_unless_ok(ids.status());
  for (const TensorId id : *ids) table.results.push_back(handle->worker.result(id).data());
  handle->set_table(std::move(table));
}

nb::object Connection::result(uint32_t tensor) {
  const HandlePtr handle = open("result");
  const auto table = handle->table("result", tensor);
  const TensorSpec& spec = table->specs[tensor];
  return make_array(table->results[tensor], {spec.count}, spec.type, make_owner(handle));
}

template <typename Start>
StartedOperation Connection::start(const HandlePtr& handle, std::vector<Array> arrays,
                                   Start start) {
  handle->garbage->empty();
  auto completion = std::make_shared<Completion>(handle->garbage, std::move(arrays));
  const Result<Operation> operation = without_gil(
      [&] { return start([completion](const Status& status) { completion->finish(status); }); });
  if (!operation.ok()) {
    completion->cancel();
    raise(operation.status());
  }
  return StartedOperation(handle, *operation, std::move(completion));
}

StartedOperation Connection::push_pull(uint32_t tensor, nb::handle gradient, nb::handle out) {
  const HandlePtr handle = open("push_pull");
  const auto table = handle->table("push_pull", tensor);
  const TensorSpec& spec = table->specs[tensor];
  std::vector<Array> arrays;
  arrays.push_back(
      array_of(gradient, spec.type, Access::read, {"push_pull", tensor, spec, "gradient"}));
  const void* const source = arrays.front().data();
  void* target = table->results[tensor];
  if (!out.is_none()) {
    arrays.push_back(array_of(out, spec.type, Access::write, {"push_pull", tensor, spec, "out"}));
    target = address_of(arrays.back());
  }
  return start(handle, std::move(arrays), [&](Callback callback) {
    return handle->worker.push_pull(TensorId{tensor}, source, target, std::move(callback));
  });
}

StartedOperation Connection::push(uint32_t tensor, nb::handle gradient) {
  const HandlePtr handle = open("push");
  const auto table = handle->table("push", tensor);
  const TensorSpec& spec = table->specs[tensor];
  std::vector<Array> arrays;
  arrays.push_back(array_of(gradient, spec.type, Access::read, {"push", tensor, spec, "gradient"}));
  const void* const source = arrays.front().data();
  return start(handle, std::move(arrays), [&](Callback callback) {
    return handle->worker.push(TensorId{tensor}, source, std::move(callback));
  });
}

StartedOperation Connection::pull(uint32_t tensor, nb::handle out) {
  const HandlePtr handle = open("pull");
  const auto table = handle->table("pull", tensor);
  const TensorSpec& spec = table->specs[tensor];
  std::vector<Array> arrays;
  void* target = table->results[tensor];
  if (!out.is_none()) {
    arrays.push_back(array_of(out, spec.type, Access::write, {"pull", tensor, spec, "out"}));
    target = address_of(arrays.back());
  }
  return start(handle, std::move(arrays), [&](Callback callback) {
    return handle->worker.pull(TensorId{tensor}, target, std::move(callback));
  });
}

StartedOperation Connection::broadcast(uint32_t tensor, nb::handle data, uint32_t root) {
  const HandlePtr handle = open("broadcast");
  const auto table = handle->table("broadcast", tensor);
  const TensorSpec& spec = table->specs[tensor];
  const Purpose purpose{"broadcast", tensor, spec, "data"};
  if (root >= size_) {
    raise(Code::invalid_argument, purpose.text() + ": root " + std::to_string(root) +
                                      " in a job of " + std::to_string(size_) + " ranks");
  }
  std::vector<Array> arrays;
  arrays.push_back(array_of(data, spec.type, Access::write, purpose));
  void* const address = address_of(arrays.front());
  return start(handle, std::move(arrays), [&](Callback callback) {
    return handle->worker.broadcast(TensorId{tensor}, address, Rank{static_cast<uint16_t>(root)},
                                    std::move(callback));
  });
}

void Connection::wait_all(std::optional<double> timeout) {
  const HandlePtr handle = open("wait_all");
  const auto time = timeout.has_value() ? to_milliseconds(*timeout) : handle->wait_timeout;
  const Status status = without_gil([&] { return handle->worker.wait_all(time); });
  handle->garbage->empty();
  raise_unless_ok(status);
}

void Connection::poll() {
  const HandlePtr handle = open("poll");
  without_gil([&] { handle->worker.poll(); });
  handle->garbage->empty();
}

void Connection::barrier(std::optional<double> timeout) {
  const HandlePtr handle = open("barrier");
  const auto time = timeout.has_value() ? to_milliseconds(*timeout) : handle->wait_timeout;
  raise_unless_ok(without_gil([&] { return handle->worker.barrier(time); }));
}

void Connection::set_step(float learning_rate, float gradient_scale, bool skip) {
  const HandlePtr handle = open("set_step");
  const StepSettings settings{learning_rate, gradient_scale, skip};
  raise_unless_ok(without_gil([&] { return handle->worker.set_step(settings); }));
}

void Connection::read_state(uint32_t tensor, int kind, nb::handle out) {
  const HandlePtr handle = open("read_state");
  const auto table = handle->table("read_state", tensor);
  const TensorSpec& spec = table->specs[tensor];
  const Array array =
      array_of(out, DataType::fp32, Access::write, {"read_state", tensor, spec, "out"});
  const std::span<float> values(static_cast<float*>(address_of(array)), spec.count);
  raise_unless_ok(without_gil([&] {
    return handle->worker.read_state(TensorId{tensor}, static_cast<StateKind>(kind), values);
  }));
}

void Connection::write_state(uint32_t tensor, int kind, nb::handle given) {
  const HandlePtr handle = open("write_state");
  const auto table = handle->table("write_state", tensor);
  const TensorSpec& spec = table->specs[tensor];
  const Array array =
      array_of(given, DataType::fp32, Access::read, {"write_state", tensor, spec, "values"});
  const std::span<const float> values(static_cast<const float*>(array.data()), spec.count);
  raise_unless_ok(without_gil([&] {
    return handle->worker.write_state(TensorId{tensor}, static_cast<StateKind>(kind), values);
  }));
}

uint64_t Connection::read_step_count(uint32_t tensor) {
  const HandlePtr handle = open("read_step_count");
  return value_or_raise(
      without_gil([&] { return handle->worker.read_step_count(TensorId{tensor}); }));
}

void Connection::write_step_count(uint32_t tensor, uint64_t count) {
  const HandlePtr handle = open("write_step_count");
  raise_unless_ok(
      without_gil([&] { return handle->worker.write_step_count(TensorId{tensor}, count); }));
}

std::map<std::string, uint64_t> Connection::stats() const {
  const WorkerStats stats = open("stats")->worker.stats();
  return {{"pushed_bytes", stats.pushed_bytes},
          {"pulled_bytes", stats.pulled_bytes},
          {"copied_bytes", stats.copied_bytes},
          {"rounds", stats.rounds}};
}

void Connection::leave() {
  const HandlePtr handle = open("leave");
  const Status status = without_gil([&] { return handle->worker.leave(); });
  handle->garbage->empty();
  raise_unless_ok(status);
}

void Connection::close() {
  if (handle_ == nullptr) return;
  HandlePtr handle = std::move(handle_);
  handle_ = nullptr;
  if (is_foreign() || handle.use_count() == 1) return;  // Destroying it leaves.
  without_gil([&] {
    if (handle->worker.wait_all(kCloseTime).ok()) (void)handle->worker.leave();
  });
  handle->garbage->empty();
}

}  // namespace phub::python
