// One started exchange, as Python sees it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "completion.h"
#include "handle.h"

namespace phub::python {

class StartedOperation {
 public:
  StartedOperation(const HandlePtr& handle, Operation operation,
                   std::shared_ptr<Completion> completion);

  uint32_t tensor() const { return index_of(operation_.tensor); }
  uint32_t round() const { return operation_.round; }

  // Returns when it has ended; raises why not. Seconds; none: the worker's wait_timeout.
  void wait(std::optional<double> timeout);
  bool is_done();
  // The exception that it ended with; none: it ended well. REQUIRES: is_done().
  nb::object error() const;
  void call_when_done(nb::object function) { completion_->call_when_done(std::move(function)); }

 private:
  HandlePtr open_handle() const;
  Status wait_for_end(Handle& handle, std::chrono::milliseconds timeout);

  std::weak_ptr<Handle> handle_;  // Only the Worker and its arrays keep a connection.
  uint32_t made_in_;
  std::chrono::milliseconds default_timeout_;
  Operation operation_;
  std::shared_ptr<Completion> completion_;
};

}  // namespace phub::python
