// The public face: Worker's calls, each a line or two over Impl and Client.
#include <phub/worker.h>

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/try.h"
#include "worker_lib/impl.h"
#include "worker_lib/open_hubs.h"
#include "worker_lib/validate.h"

namespace phub {
namespace {

using client::Client;

// A state travels in pieces, so that one tensor's does not hold up the session.
constexpr size_t kStatePieceFloats = (1u << 20) / sizeof(float);

client::Identity identity() {
  char host[256] = "unknown";
  ::gethostname(host, sizeof(host) - 1);
  return {::getpid(), host};
}

}  // namespace

Worker::Worker(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Worker::Worker(Worker&&) noexcept = default;
Worker& Worker::operator=(Worker&&) noexcept = default;
Worker::~Worker() = default;

Result<Worker> Worker::connect(const WorkerOptions& options) {
  PHUB_TRY(client::check_options(options));
  PHUB_TRY_ASSIGN(client::OpenedHubs opened, client::open_hubs(options));
  // Where a hub does not read the gradients by itself, somebody has to move them meanwhile.
  const bool needs_thread =
      std::any_of(opened.fabrics.begin(), opened.fabrics.end(),
                  [](const auto& fabric) { return !fabric->traits().by_reference; });
  const bool thread = options.progress == Progress::thread ||
                      (options.progress == Progress::automatic && needs_thread);
  auto core = std::make_unique<Client>(options, identity(), std::move(opened.hubs),
                                       std::move(opened.fabrics));
  PHUB_TRY_ASSIGN(auto driver, client::Driver::create(std::move(core), thread));
  auto impl = std::make_unique<Impl>(options, std::move(opened.text), std::move(driver));
  PHUB_TRY(impl->wait_until_welcome());
  return Worker(std::move(impl));
}

Rank Worker::rank() const { return impl_->options().rank; }
std::string Worker::hub_address() const { return impl_->hub_address(); }
uint32_t Worker::rank_count() const { return impl_->options().job.rank_count; }

Result<std::span<std::byte>> Worker::allocate(size_t bytes) {
  return impl_->driver().with([&](Client& client) { return client.allocate(bytes); });
}

Result<std::vector<TensorId>> Worker::register_tensors(std::span<const TensorSpec> specs,
                                                       std::span<void* const> results) {
  PHUB_TRY(impl_->register_tensors(specs, results));
  std::vector<TensorId> ids;
  for (uint32_t i = 0; i < specs.size(); ++i) ids.push_back(TensorId{i});
  return ids;
}

std::span<std::byte> Worker::result(TensorId tensor) {
  return impl_->driver().with([&](Client& client) { return client.result(tensor); });
}

Result<Operation> Worker::push_pull(TensorId tensor, const void* gradient, void* result,
                                    Callback callback) {
  return impl_->driver().with([&](Client& client) {
    return client.push_pull(tensor, gradient, result, std::move(callback));
  });
}

Result<Operation> Worker::push(TensorId tensor, const void* gradient, Callback callback) {
  return impl_->driver().with(
      [&](Client& client) { return client.push(tensor, gradient, std::move(callback)); });
}

Result<Operation> Worker::pull(TensorId tensor, void* result, Callback callback) {
  return impl_->driver().with(
      [&](Client& client) { return client.pull(tensor, result, std::move(callback)); });
}

Result<Operation> Worker::broadcast(TensorId tensor, void* data, Rank root, Callback callback) {
  return impl_->driver().with(
      [&](Client& client) { return client.broadcast(tensor, data, root, std::move(callback)); });
}

Status Worker::wait(const Operation& operation) {
  return impl_->wait(operation, impl_->options().wait_timeout);
}
Status Worker::wait(const Operation& operation, std::chrono::milliseconds timeout) {
  return impl_->wait(operation, timeout);
}
Status Worker::wait_all() { return impl_->wait_all(impl_->options().wait_timeout); }
Status Worker::wait_all(std::chrono::milliseconds timeout) { return impl_->wait_all(timeout); }

bool Worker::is_done(const Operation& operation) {
  impl_->driver().poll();  // So that asking in a loop comes to an end.
  return impl_->driver().with([&](Client& client) {
    return client.rounds() == nullptr || client.rounds()->is_done(operation);
  });
}

void Worker::poll() { impl_->driver().poll(); }

Status Worker::barrier() { return impl_->barrier(impl_->options().wait_timeout); }
Status Worker::barrier(std::chrono::milliseconds timeout) { return impl_->barrier(timeout); }

Status Worker::set_step(const StepSettings& settings) { return impl_->set_step(settings); }

namespace {

// What went wrong with a state: the hub's words, with the call and the tensor before them.
Status state_status(const exchange::StateReply& reply, const std::string& call) {
  const auto code = static_cast<Code>(reply.code);
  return code == Code::ok ? Status() : Status(code, call + ": " + reply.message);
}

std::string state_call(const char* call, TensorId tensor, const TensorSpec& spec) {
  return std::string(call) + " tensor " + std::to_string(index_of(tensor)) + " \"" + spec.name +
         "\"";
}

Status check_count(const std::string& call, const TensorSpec& spec, size_t count) {
  if (count == spec.count) return {};
  return Status(Code::invalid_argument, call + ": " + std::to_string(count) +
                                            " values for a tensor of " +
                                            std::to_string(spec.count) + " elements");
}

}  // namespace

Status Worker::read_state(TensorId tensor, StateKind kind, std::span<float> values) {
  PHUB_TRY_ASSIGN(const TensorSpec spec, impl_->find_tensor("read_state", tensor));
  const std::string call = state_call("read_state", tensor, spec);
  PHUB_TRY(check_count(call, spec, values.size()));
  for (size_t first = 0; first < values.size(); first += kStatePieceFloats) {
    exchange::StateQuery query;
    query.tensor = index_of(tensor);
    query.kind = static_cast<uint8_t>(kind);
    query.first_element = first;
    query.count = std::min(kStatePieceFloats, values.size() - first);
    const size_t bytes = query.count * sizeof(float);
    PHUB_TRY_ASSIGN(const exchange::StateReply reply, impl_->ask_state(std::move(query)));
    PHUB_TRY(state_status(reply, call));
    if (reply.blob.size() != bytes) {
      return Status(Code::internal, call + ": the hub sent " + std::to_string(reply.blob.size()) +
                                        " bytes, not " + std::to_string(bytes));
    }
    std::memcpy(values.data() + first, reply.blob.data(), bytes);
  }
  return {};
}

Status Worker::write_state(TensorId tensor, StateKind kind, std::span<const float> values) {
  PHUB_TRY_ASSIGN(const TensorSpec spec, impl_->find_tensor("write_state", tensor));
  const std::string call = state_call("write_state", tensor, spec);
  PHUB_TRY(check_count(call, spec, values.size()));
  for (size_t first = 0; first < values.size(); first += kStatePieceFloats) {
    exchange::StateQuery query;
    query.tensor = index_of(tensor);
    query.kind = static_cast<uint8_t>(kind);
    query.write = true;
    query.first_element = first;
    query.count = std::min(kStatePieceFloats, values.size() - first);
    query.blob.assign(reinterpret_cast<const char*>(values.data() + first),
                      query.count * sizeof(float));
    PHUB_TRY_ASSIGN(const exchange::StateReply reply, impl_->ask_state(std::move(query)));
    PHUB_TRY(state_status(reply, call));
  }
  return {};
}

Result<uint64_t> Worker::read_step_count(TensorId tensor) {
  PHUB_TRY_ASSIGN(const TensorSpec spec, impl_->find_tensor("read_step_count", tensor));
  exchange::StateQuery query;
  query.tensor = index_of(tensor);
  query.kind = exchange::kStepCount;
  PHUB_TRY_ASSIGN(const exchange::StateReply reply, impl_->ask_state(std::move(query)));
  PHUB_TRY(state_status(reply, state_call("read_step_count", tensor, spec)));
  return reply.step_count;
}

Status Worker::write_step_count(TensorId tensor, uint64_t step_count) {
  PHUB_TRY_ASSIGN(const TensorSpec spec, impl_->find_tensor("write_step_count", tensor));
  exchange::StateQuery query;
  query.tensor = index_of(tensor);
  query.kind = exchange::kStepCount;
  query.write = true;
  query.step_count = step_count;
  PHUB_TRY_ASSIGN(const exchange::StateReply reply, impl_->ask_state(std::move(query)));
  return state_status(reply, state_call("write_step_count", tensor, spec));
}

Status Worker::leave() { return impl_->leave(impl_->options().wait_timeout); }

WorkerStats Worker::stats() const {
  return impl_->driver().with([](Client& client) { return client.stats(); });
}

}  // namespace phub
