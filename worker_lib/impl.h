// What a Worker is made of: the driver, and the blocking calls on top of it.
// Thread-safety: as Worker's.
#pragma once

#include <phub/worker.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "worker_lib/driver.h"

namespace phub {

class Worker::Impl {
 public:
  using Milliseconds = std::chrono::milliseconds;

  // hub_address: of the hub, and why there.
  Impl(const WorkerOptions& options, std::string hub_address,
       std::unique_ptr<client::Driver> driver)
      : options_(options), hub_address_(std::move(hub_address)), driver_(std::move(driver)) {}
  ~Impl();  // Leaves, within a second, if nothing failed.

  const WorkerOptions& options() const { return options_; }
  const std::string& hub_address() const { return hub_address_; }
  client::Driver& driver() { return *driver_; }

  Status wait_until_welcome();
  Status register_tensors(std::span<const TensorSpec> specs, std::span<void* const> results);
  Status wait(const Operation& operation, Milliseconds timeout);
  Status wait_all(Milliseconds timeout);
  Status barrier(Milliseconds timeout);
  Status set_step(const StepSettings& settings);
  Status leave(Milliseconds timeout);

  // One message there and back; blob and counters as in StateQuery and StateReply.
  Result<exchange::StateReply> ask_state(exchange::StateQuery query);
  // The tensor's name and count for messages and checks. not_found: unknown.
  Result<TensorSpec> find_tensor(const char* call, TensorId tensor);

 private:
  Status own_barrier(Milliseconds timeout);
  bool wait_for(std::function<bool(const client::Client&)> is_over, Milliseconds timeout);
  // The hub's answer to who is late, about `subject`; never empty.
  std::string who_is_late(const std::string& subject);
  Status timed_out(const std::string& what, Milliseconds timeout, const std::string& subject);

  const WorkerOptions options_;
  const std::string hub_address_;
  std::unique_ptr<client::Driver> driver_;
  std::mutex barrier_mutex_;
  std::condition_variable barrier_free_;
  bool is_in_barrier_ = false;
};

}  // namespace phub
