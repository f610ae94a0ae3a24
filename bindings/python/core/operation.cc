#include "operation.h"

#include <algorithm>

#include "errors.h"
#include "interpreter.h"
#include "milliseconds.h"

namespace phub::python {
namespace {

using std::chrono::milliseconds;

// How long a wait may ignore Ctrl-C. Each slice that ends asks the hub who is late.
constexpr milliseconds kSlice{1000};

}  // namespace

StartedOperation::StartedOperation(const HandlePtr& handle, Operation operation,
                                   std::shared_ptr<Completion> completion)
    : handle_(handle),
      made_in_(handle->made_in),
      default_timeout_(handle->wait_timeout),
      operation_(operation),
      completion_(std::move(completion)) {}

HandlePtr StartedOperation::open_handle() const {
  if (made_in_ != fork_count()) {
    raise(Code::failed_precondition,
          "wait: this operation belongs to the process that forked this one; connect here, too");
  }
  HandlePtr handle = handle_.lock();
  if (handle == nullptr && !completion_->is_done()) {
    raise(Code::failed_precondition, "wait: the Worker is closed");
  }
  return handle;
}

// In slices, between which Ctrl-C is heard.
Status StartedOperation::wait_for_end(Handle& handle, milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (true) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    {
      const nb::gil_scoped_release unlocked;
      const Status status =
          handle.worker.wait(operation_, std::clamp(left, milliseconds(0), kSlice));
      if (status.code() != Code::timed_out) {
        completion_->finish(status);  // The library's thread may not have come to it yet.
        return status;
      }
      if (left <= kSlice) return status;
    }
    if (PyErr_CheckSignals() != 0) nb::raise_python_error();
  }
}

void StartedOperation::wait(std::optional<double> timeout) {
  if (!completion_->is_done()) {
    const HandlePtr handle = open_handle();
    const milliseconds time = timeout.has_value() ? to_milliseconds(*timeout) : default_timeout_;
    if (handle != nullptr) {
      const Status status = wait_for_end(*handle, time);
      handle->garbage->empty();
      return raise_unless_ok(status);
    }
  }
  raise_unless_ok(completion_->status());
}

bool StartedOperation::is_done() {
  if (completion_->is_done()) return true;
  const HandlePtr handle = open_handle();
  if (handle != nullptr && !handle->has_thread) {
    const nb::gil_scoped_release unlocked;
    handle->worker.poll();
  }
  return completion_->is_done();
}

nb::object StartedOperation::error() const {
  if (!completion_->is_done() || completion_->status().ok()) return nb::none();
  return make_error(completion_->status());
}

}  // namespace phub::python
