// When threads of the library may touch Python: not in a forked child, not once Python has ended.
//
// Thread-safety: all of it.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <shared_mutex>

namespace phub::python {

namespace nb = nanobind;

// Starts counting forks; once, when the module is loaded.
void watch_forks();
// How often this process is a child of the one that loaded the module: what was made under another
// count belongs to another process and must not be touched, not even destroyed.
uint32_t fork_count();

// The GIL, on any thread, for as long as this lives; false once Python ends.
class PythonEntry {
 public:
  PythonEntry();
  ~PythonEntry();
  PythonEntry(const PythonEntry&) = delete;
  PythonEntry& operator=(const PythonEntry&) = delete;

  explicit operator bool() const { return is_open_; }

 private:
  std::shared_lock<std::shared_mutex> lock_;
  bool is_open_ = false;
  PyGILState_STATE state_ = PyGILState_UNLOCKED;
};

// No entry from here on; waits for those that are inside. REQUIRES: this thread has no GIL.
void close_python();

}  // namespace phub::python
