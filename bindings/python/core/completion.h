// The end of one operation: how it ended, who wants to be called, and what must live until
// then.
//
// The library calls finish() on the thread that noticed, without the GIL; it takes the GIL only
// where Python functions wait. Arrays that the operation reads or writes are let go by the next
// call that holds the GIL (Garbage), so that no GIL is needed here for them either. Thread-safety:
// all of it, except where noted.
#pragma once

#include <phub/status.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "array.h"

namespace phub::python {

// Arrays whose operation has ended. Emptied by whoever holds the GIL.
class Garbage {
 public:
  void add(std::vector<Array> arrays);
  void empty();  // REQUIRES: the GIL.

 private:
  std::mutex mutex_;
  std::vector<std::vector<Array>> arrays_;
  std::atomic<bool> has_any_{false};
};

class Completion {
 public:
  // `kept` live until the operation has ended.
  Completion(std::shared_ptr<Garbage> garbage, std::vector<Array> kept);

  // Once; later calls change nothing. REQUIRES: no GIL.
  void finish(const Status& status);
  // The operation was not started after all. REQUIRES: the GIL.
  void cancel() { kept_.clear(); }

  bool is_done() const { return is_done_.load(std::memory_order_acquire); }
  // REQUIRES: is_done().
  const Status& status() const { return status_; }
  // Calls function(error or None) once, when it has ended: at once if it has. REQUIRES: the GIL.
  void call_when_done(nb::object function);

 private:
  void call(const nb::object& function);

  std::shared_ptr<Garbage> garbage_;
  std::mutex mutex_;
  std::atomic<bool> is_done_{false};
  Status status_;
  std::vector<Array> kept_;
  std::vector<nb::object> functions_;
};

// Whether this thread is inside a function that finish() has called.
bool is_inside_callback();

}  // namespace phub::python
