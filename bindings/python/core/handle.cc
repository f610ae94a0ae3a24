#include "handle.h"

#include "errors.h"
#include "graveyard.h"
#include "interpreter.h"

namespace phub::python {

Handle::Handle(Worker connected, bool thread, std::chrono::milliseconds timeout)
    : worker(std::move(connected)),
      has_thread(thread),
      wait_timeout(timeout),
      made_in(fork_count()),
      garbage(std::make_shared<Garbage>()),
      table_(std::make_shared<const TensorTable>()) {}

std::shared_ptr<const TensorTable> Handle::table(const char* call, uint32_t tensor) const {
  std::shared_ptr<const TensorTable> table;
  {
    const std::lock_guard lock(mutex_);
    table = table_;
  }
  if (tensor < table->specs.size()) return table;
  raise(Code::not_found, std::string(call) + " tensor " + std::to_string(tensor) + ": unknown; " +
                             std::to_string(table->specs.size()) + " tensors are registered");
}

void Handle::set_table(TensorTable table) {
  auto made = std::make_shared<const TensorTable>(std::move(table));
  const std::lock_guard lock(mutex_);
  table_ = std::move(made);
}

HandlePtr make_handle(Worker worker, bool has_thread, std::chrono::milliseconds wait_timeout) {
  const auto destroy = [](Handle* handle) {
    bury(handle->made_in, handle->garbage, [handle] { delete handle; });
  };
  return HandlePtr(new Handle(std::move(worker), has_thread, wait_timeout), destroy);
}

nb::object make_owner(HandlePtr handle) {
  auto* const held = new HandlePtr(std::move(handle));
  return nb::capsule(held, [](void* p) noexcept { delete static_cast<HandlePtr*>(p); });
}

}  // namespace phub::python
