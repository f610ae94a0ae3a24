#include "transfer.h"

#include <algorithm>
#include <utility>

#include "errors.h"
#include "interpreter.h"
#include "milliseconds.h"

namespace phub::python {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSlice{1000};  // How long a wait may ignore Ctrl-C.

}  // namespace

StartedTransfer::StartedTransfer(std::shared_ptr<Garbage> garbage, Transfer transfer,
                                 std::shared_ptr<Completion> completion)
    : made_in_(fork_count()),
      garbage_(std::move(garbage)),
      transfer_(std::move(transfer)),
      completion_(std::move(completion)) {}

void StartedTransfer::check_process(const char* call) const {
  if (made_in_ == fork_count()) return;
  raise(Code::failed_precondition,
        std::string(call) +
            ": this transfer belongs to the process that forked this one; connect here, too");
}

Status StartedTransfer::wait_once(milliseconds timeout) {
  if (completion_->is_done()) return completion_->status();
  const nb::gil_scoped_release unlocked;
  const Status status = transfer_.wait(timeout);
  // The library's thread may not have come to it yet.
  if (status.code() != Code::timed_out) completion_->finish(status);
  return status;
}

void StartedTransfer::wait(double timeout) {
  check_process("wait");
  const auto deadline = std::chrono::steady_clock::now() + to_milliseconds(timeout);
  while (true) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    const Status status = wait_once(std::clamp(left, milliseconds(0), kSlice));
    garbage_->empty();
    if (status.code() != Code::timed_out || left <= kSlice) return raise_unless_ok(status);
    if (PyErr_CheckSignals() != 0) nb::raise_python_error();
  }
}

bool StartedTransfer::wait_for(double timeout) {
  check_process("wait_for");
  const Status status = wait_once(to_milliseconds(timeout));
  garbage_->empty();
  if (status.code() == Code::timed_out) return false;
  raise_unless_ok(status);
  return true;
}

nb::object StartedTransfer::error() const {
  if (!completion_->is_done() || completion_->status().ok()) return nb::none();
  return make_error(completion_->status());
}

bool StartedTransfer::cancel() {
  check_process("cancel");
  bool is_cancelled = false;
  {
    const nb::gil_scoped_release unlocked;
    is_cancelled = transfer_.cancel();
    if (is_cancelled) completion_->finish(Status(Code::aborted, "the receive was cancelled"));
  }
  garbage_->empty();
  return is_cancelled;
}

}  // namespace phub::python
