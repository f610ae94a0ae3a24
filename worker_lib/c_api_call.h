// What the calls of the C ABI share: statuses, the last error, structs that may be older.
//
// No exception may pass into C: what the standard library throws (memory is used up) becomes a
// status.
#pragma once

#include <phub/phub.h>
#include <phub/status.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string>

namespace phub::client::c_api {

inline thread_local std::string last_error;
inline thread_local const char* last_exception =
    nullptr;  // Instead: making a text could throw again.

inline phub_status finish(const Status& status) {
  last_error = status.message();
  last_exception = nullptr;
  return static_cast<phub_status>(status.code());
}

// Runs a call, and turns what it throws into a status.
template <typename Call>
phub_status guarded(Call call) {
  try {
    return finish(call());
  } catch (const std::bad_alloc&) {
    last_exception = "out of memory";
    return PHUB_RESOURCE_EXHAUSTED;
  } catch (...) {
    last_exception = "an exception inside the library; please report it";
    return PHUB_INTERNAL;
  }
}

inline Status null_argument(const char* what) {
  return Status(Code::invalid_argument, std::string(what) + " is NULL");
}

// The caller's struct, zero beyond what the caller's version of it had.
template <typename Struct>
Result<Struct> sized_copy(const Struct* from, const char* what) {
  if (from->struct_size < sizeof(size_t) || from->struct_size > 64 * sizeof(Struct)) {
    return Status(Code::invalid_argument, std::string(what) + ".struct_size is " +
                                              std::to_string(from->struct_size) +
                                              "; start with its _init function");
  }
  Struct to{};
  std::memcpy(static_cast<void*>(&to), from, std::min(from->struct_size, sizeof(Struct)));
  return to;
}

}  // namespace phub::client::c_api
