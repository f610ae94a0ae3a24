// Arrays of any framework, by DLPack or the buffer protocol, never copied.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <phub/types.h>

#include <string>
#include <vector>

namespace phub::python {

namespace nb = nanobind;

// C-contiguous, in this process's memory; may be read-only.
using Array = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using NewArray = nb::ndarray<nb::array_api, nb::device::cpu>;

enum class Access : uint8_t { read, write };

// What an array is for, in messages: `push_pull tensor 3 "fc.weight": gradient`.
struct Purpose {
  const char* call;
  uint32_t tensor;
  const TensorSpec& spec;
  const char* role;

  std::string text() const;
};

// `object` as an array of spec.count elements of `type`, or an InvalidArgument that names the
// purpose.
Array array_of(nb::handle object, DataType type, Access access, const Purpose& purpose);

// `object` as bytes to read or to write, or an InvalidArgument: "`call`: ... is not ...".
Array memory_of(nb::handle object, Access access, const char* call);

// An array over `data`, alive as long as somebody uses it: `owner` is released with the last.
nb::object make_array(void* data, const std::vector<size_t>& shape, DataType type,
                      nb::object owner);

}  // namespace phub::python
