#include "operation.h"

#include <algorithm>

#include "errors.h"
#include "interpreter.h"
#include "milliseconds.h"

namespace phub::python {
namespace {

using std::chrono::milliseconds;

// How long a wait may ignore Ctrl-C.
constexpr milliseconds kSignalTime{100};
// Where the waiting thread moves the bytes, every slice that ends asks the hub who is late.
constexpr milliseconds kDrivingSlice{1000};

void check_signals() {
  if (PyErr_CheckSignals() != 0) nb::raise_python_error();
}

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

Status StartedOperation::wait_for_thread(const HandlePtr& handle, milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (true) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    {
      const nb::gil_scoped_release unlocked;
      if (completion_->wait_for(std::clamp(left, milliseconds(0), kSignalTime))) {
        return completion_->status();
      }
      if (left <= kSignalTime) return handle->worker.wait(operation_, milliseconds(0));
    }
    check_signals();
  }
}

Status StartedOperation::wait_and_drive(const HandlePtr& handle, milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (true) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    const milliseconds slice = std::clamp(left, milliseconds(0), kDrivingSlice);
    Status status;
    {
      const nb::gil_scoped_release unlocked;
      status = handle->worker.wait(operation_, slice);
    }
    if (status.code() != Code::timed_out || left <= kDrivingSlice) return status;
    check_signals();
  }
}

void StartedOperation::wait(std::optional<double> timeout) {
  if (!completion_->is_done()) {
    const HandlePtr handle = open_handle();
    const milliseconds time = timeout.has_value() ? to_milliseconds(*timeout) : default_timeout_;
    if (handle != nullptr) {
      const Status status =
          handle->has_thread ? wait_for_thread(handle, time) : wait_and_drive(handle, time);
      handle->garbage->empty();
      if (status.code() == Code::timed_out && !completion_->is_done()) raise(status);
      return raise_unless_ok(completion_->is_done() ? completion_->status() : status);
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
