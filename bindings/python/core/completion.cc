#include "completion.h"

#include <utility>

#include "errors.h"
#include "interpreter.h"

namespace phub::python {
namespace {

thread_local int t_depth = 0;

}  // namespace

bool is_inside_callback() { return t_depth > 0; }

void Garbage::add(std::vector<Array> arrays) {
  if (arrays.empty()) return;
  const std::lock_guard lock(mutex_);
  arrays_.push_back(std::move(arrays));
  has_any_.store(true, std::memory_order_release);
}

void Garbage::empty() {
  if (!has_any_.load(std::memory_order_acquire)) return;
  std::vector<std::vector<Array>> arrays;
  {
    const std::lock_guard lock(mutex_);
    arrays.swap(arrays_);
    has_any_.store(false, std::memory_order_relaxed);
  }
}  // Freed here, without the lock: it may run anything.

Completion::Completion(std::shared_ptr<Garbage> garbage, std::vector<Array> kept)
    : garbage_(std::move(garbage)), kept_(std::move(kept)) {}

void Completion::finish(const Status& status) {
  std::vector<nb::object> functions;
  {
    const std::lock_guard lock(mutex_);
    if (is_done()) return;
    status_ = status;
    functions.swap(functions_);
    garbage_->add(std::move(kept_));
    is_done_.store(true, std::memory_order_release);
  }
  if (functions.empty()) return;
  const PythonEntry entry;
  if (!entry) {  // Python has ended, and its objects with it.
    for (nb::object& function : functions) (void)function.release();
    return;
  }
  ++t_depth;
  for (const nb::object& function : functions) call(function);
  functions.clear();
  --t_depth;
}

void Completion::call_when_done(nb::object function) {
  {
    const std::lock_guard lock(mutex_);
    if (!is_done()) {
      functions_.push_back(std::move(function));
      return;
    }
  }
  call(function);
}

void Completion::call(const nb::object& function) {
  try {
    function(status_.ok() ? nb::none() : make_error(status_));
  } catch (nb::python_error& error) {
    error.discard_as_unraisable("a callback of an operation of phub");
  }
}

}  // namespace phub::python
