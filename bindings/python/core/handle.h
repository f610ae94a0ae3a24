// One connection, shared by the Worker of Python and by the arrays that lie in its memory.
//
// The last of them destroys it, as graveyard.h says.
#pragma once

#include <phub/worker.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

#include "completion.h"

namespace phub::python {

// The tensors of an epoch, and where the results of each land.
struct TensorTable {
  std::vector<TensorSpec> specs;
  std::vector<void*> results;
};

struct Handle {
  Handle(Worker connected, bool thread, std::chrono::milliseconds timeout);

  Worker worker;
  const bool has_thread;  // A thread of the library moves the bytes and calls back.
  const std::chrono::milliseconds wait_timeout;
  const uint32_t made_in;  // fork_count() of the process that it belongs to.
  const std::shared_ptr<Garbage> garbage;

  // What is registered; raises NotFound, naming `call`, if `tensor` is not.
  std::shared_ptr<const TensorTable> table(const char* call, uint32_t tensor) const;
  void set_table(TensorTable table);

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const TensorTable> table_;
};

using HandlePtr = std::shared_ptr<Handle>;

HandlePtr make_handle(Worker worker, bool has_thread, std::chrono::milliseconds wait_timeout);
// An owner for arrays: the connection lives as long as it.
nb::object make_owner(HandlePtr handle);

}  // namespace phub::python
