// Errors as values: what every fallible call of PHub returns.
//
//   Status status = worker.barrier();
//   if (!status.ok()) std::cerr << status.message() << '\n';
//
//   Result<Worker> worker = Worker::connect(options);
//   if (!worker.ok()) return report(worker.status());
//   worker->barrier();
//
// A message is a sentence for the operator: what failed, which thing, why with numbers, what to do.
// Thread-safety: as for any value; distinct objects may be used from distinct threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace phub {

// Kinds of failure. The kind says what a caller can do; the message says what happened.
enum class Code : uint8_t {
  ok = 0,
  invalid_argument,     // The call can never work as given: correct it.
  not_found,            // Job, tensor, device or file is not there.
  already_exists,       // Name, rank or epoch is taken.
  permission_denied,    // Wrong secret, or not allowed.
  failed_precondition,  // Not now: the object is in another state.
  resource_exhausted,   // Memory, jobs, ranks or slots are used up.
  unavailable,          // The hub cannot be reached or is gone: connect again later.
  aborted,              // A peer failed; the job must be joined again.
  timed_out,            // The deadline passed; the message names who was missing.
  unimplemented,        // This build or this fabric cannot do it.
  internal,             // A bug in PHub.
};

// The name of a code, for example "timed_out". Never null.
std::string_view to_string(Code code);

// Success, or a code with a message. Cheap to copy when ok.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::ok; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

  // The same failure with what the caller was doing in front: "open hub: bind 1.2.3.4: in use".
  Status with_context(std::string_view context) const {
    if (ok()) return *this;
    return Status(code_, std::string(context) + ": " + message_);
  }

  // "timed_out: rank 3 has not joined"; "ok" for success.
  std::string to_string() const;

 private:
  Code code_ = Code::ok;
  std::string message_;
};

// A value, or why there is none. `value()` and `->` REQUIRE ok().
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT: implicit on purpose.
  Result(Status status) : status_(std::move(status)) {}  // NOLINT: implicit on purpose.

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return *std::move(value_); }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace phub
