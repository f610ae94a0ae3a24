#include "errors.h"

#include <nanobind/stl/string.h>

#include <string>

namespace phub::python {
namespace {

nb::object& factory() {
  static nb::object* const object = new nb::object();  // Outlives static destruction.
  return *object;
}

}  // namespace

void set_error_factory(nb::object made) { factory() = std::move(made); }
void clear_error_factory() { factory().reset(); }

nb::object make_error(const Status& status) {
  const std::string code(to_string(status.code()));
  if (!factory().is_valid()) {
    return nb::borrow(PyExc_RuntimeError)(code + ": " + status.message());
  }
  return factory()(code, status.message());
}

void raise(const Status& status) {
  const nb::object error = make_error(status);
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  nb::raise_python_error();
}

void raise(Code code, const std::string& message) { raise(Status(code, message)); }

}  // namespace phub::python
