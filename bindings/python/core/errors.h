// Errors of PHub as exceptions of Python: phub.Error and its subclass for the code.
#pragma once

#include <nanobind/nanobind.h>
#include <phub/status.h>

namespace phub::python {

namespace nb = nanobind;

// factory(code, message) -> exception. Called once, by phub/errors.py.
void set_error_factory(nb::object factory);
// Drops the factory, so that nothing is left when the interpreter ends.
void clear_error_factory();

// The exception for a failure. REQUIRES: !status.ok(), and the GIL.
nb::object make_error(const Status& status);
[[noreturn]] void raise(const Status& status);
[[noreturn]] void raise(Code code, const std::string& message);

inline void raise_unless_ok(const Status& status) {
  if (!status.ok()) raise(status);
}

template <typename T>
T value_or_raise(Result<T>&& result) {
  if (!result.ok()) raise(result.status());
  return std::move(result).value();
}

}  // namespace phub::python
