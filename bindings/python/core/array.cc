#include "array.h"

#include "errors.h"

namespace phub::python {
namespace {

using Code8 = nb::dlpack::dtype_code;

nb::dlpack::dtype dlpack_type(DataType type) {
  const auto bits = static_cast<uint8_t>(size_of(type) * 8);
  switch (type) {
    case DataType::fp32:
    case DataType::fp16:
    case DataType::fp64:
      return {static_cast<uint8_t>(Code8::Float), bits, 1};
    case DataType::bf16:
      return {static_cast<uint8_t>(Code8::Bfloat), bits, 1};
    case DataType::int32:
    case DataType::int64:
      return {static_cast<uint8_t>(Code8::Int), bits, 1};
  }
  return {};
}

std::string shown(nb::dlpack::dtype type) {
  const char* const names[] = {"int", "uint", "float", "opaque", "bfloat", "complex", "bool"};
  const std::string name = type.code < std::size(names) ? names[type.code] : "other";
  return name + std::to_string(type.bits);
}

}  // namespace

std::string Purpose::text() const {
  return std::string(call) + " tensor " + std::to_string(tensor) + " \"" + spec.name +
         "\": " + role;
}

Array memory_of(nb::handle object, Access access, const char* call) {
  Array array;
  if (access == Access::write) {
    nb::ndarray<nb::c_contig, nb::device::cpu> writable;
    if (nb::try_cast(object, writable, false)) return Array(writable);
  } else if (nb::try_cast(object, array, false)) {
    return array;
  }
  const char* const want = access == Access::write ? "writable and " : "";
  raise(Code::invalid_argument,
        std::string(call) + ": " + nb::type_name(object.type()).c_str() +
            " is not an array of memory that is " + want +
            "C-contiguous, on the CPU, and offered by DLPack or the buffer protocol; of a "
            "torch tensor that needs gradients give detach()");
}

Array array_of(nb::handle object, DataType type, Access access, const Purpose& purpose) {
  Array array = memory_of(object, access, purpose.text().c_str());
  if (array.dtype() != dlpack_type(type)) {
    raise(Code::invalid_argument, purpose.text() + ": elements are " + shown(array.dtype()) +
                                      ", the tensor's are " + std::string(to_string(type)));
  }
  if (array.size() != purpose.spec.count) {
    raise(Code::invalid_argument, purpose.text() + ": " + std::to_string(array.size()) +
                                      " elements for a tensor of " +
                                      std::to_string(purpose.spec.count));
  }
  return array;
}

nb::object make_array(void* data, const std::vector<size_t>& shape, DataType type,
                      nb::object owner) {
  const NewArray array(data, shape.size(), shape.data(), owner, nullptr, dlpack_type(type),
                       nb::device::cpu::value);
  return nb::cast(array, nb::rv_policy::reference);
}

}  // namespace phub::python
