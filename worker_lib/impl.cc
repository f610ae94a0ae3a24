#include "worker_lib/impl.h"

#include <algorithm>

#include "base/try.h"
#include "worker_lib/late.h"

namespace phub {
namespace {

using client::Client;
using client::State;

constexpr std::chrono::milliseconds kLateAnswerTime{300};
constexpr std::chrono::milliseconds kLeaveTimeInDestructor{1000};

base::Instant deadline_after(std::chrono::milliseconds timeout) {
  constexpr std::chrono::milliseconds kMax = std::chrono::hours(24 * 365);
  return base::now() + std::clamp(timeout, std::chrono::milliseconds(0), kMax);
}

bool is_over(const Client& client) {
  return client.state() == State::failed || client.state() == State::left;
}

bool is_idle(const Client& client) {
  return client.rounds() == nullptr || client.rounds()->is_idle();
}

Status failure_of(const Client& client, std::string_view call) {
  if (client.state() == State::failed) return client.failure().with_context(call);
  return Status(Code::failed_precondition,
                std::string(call) + ": this rank has left the job; connect again");
}

}  // namespace

Worker::Impl::~Impl() {
  const base::Instant deadline = deadline_after(kLeaveTimeInDestructor);
  driver_->wait({{{}, true, false}, [](const Client& c) { return is_over(c) || is_idle(c); }},
                deadline);
  const bool is_leaving = driver_->with([](Client& client) {
    return client.state() != State::connecting && client.begin_leave().ok();
  });
  if (is_leaving) driver_->wait({{}, is_over}, deadline);
}

bool Worker::Impl::wait_for(std::function<bool(const Client&)> is_done, Milliseconds timeout) {
  return driver_->wait({{}, std::move(is_done)}, deadline_after(timeout));
}

std::string Worker::Impl::who_is_late(const std::string& subject) {
  const Result<uint64_t> id = driver_->with([](Client& client) { return client.ask_late(); });
  if (!id.ok()) return id.status().message();
  wait_for([&](const Client& c) { return is_over(c) || c.has_reply(*id); }, kLateAnswerTime);
  return client::late_part(
      driver_->with([&](Client& client) { return client.take_late_text(*id); }), subject);
}

Status Worker::Impl::timed_out(const std::string& what, Milliseconds timeout,
                               const std::string& subject) {
  return Status(Code::timed_out,
                what + ": " + client::timed_out_after(timeout) + ": " + who_is_late(subject));
}

Status Worker::Impl::wait_until_welcome() {
  const std::string call = "connect to hub " + options_.hub + ": job \"" + options_.job.name +
                           "\" rank " + std::to_string(index_of(options_.rank));
  if (!wait_for([](const Client& c) { return c.state() != State::connecting; },
                options_.join_timeout)) {
    const std::string who = driver_->with([](Client& c) { return c.silent_hubs(0); });
    return Status(Code::timed_out, call + ": " + who + " did not answer within " +
                                       std::to_string(options_.join_timeout.count()) + " ms");
  }
  return driver_->with([&](Client& client) {
    return client.state() == State::failed ? client.failure().with_context(call) : Status();
  });
}

Status Worker::Impl::register_tensors(std::span<const TensorSpec> specs,
                                      std::span<void* const> results) {
  PHUB_TRY(driver_->with([&](Client& client) { return client.begin_tensors(specs, results); }));
  const bool is_agreed =
      wait_for([](const Client& c) { return c.state() != State::agreeing; }, options_.join_timeout);
  if (!is_agreed) return timed_out("register_tensors", options_.join_timeout, "");
  return driver_->with([](Client& client) {
    return client.state() == State::running ? Status() : failure_of(client, "register_tensors");
  });
}

Status Worker::Impl::wait(const Operation& operation, Milliseconds timeout) {
  const Status known = driver_->with([&](Client& client) {
    if (client.rounds() != nullptr) return client.rounds()->check(operation);
    return Status(Code::invalid_argument, "wait: no operation was started");
  });
  PHUB_TRY(known);
  const auto is_done = [&](const Client& client) {
    return client.rounds() == nullptr || client.rounds()->is_done(operation);
  };
  const client::Driver::Wait wait{{{&operation, 1}, false, false}, is_done};
  Status late;
  if (!driver_->wait(wait, deadline_after(timeout))) {
    const std::string what = driver_->with([&](Client& client) {
      return client.rounds() == nullptr ? "wait" : client.rounds()->describe(operation);
    });
    late = timed_out(what, timeout, what.substr(what.find(' ') + 1));
  }
  return driver_->with([&](Client& client) {  // It may have ended while the hub was asked.
    if (!is_done(client)) return late;
    // Without rounds a new epoch is being agreed on: it began when all operations had ended.
    return client.rounds() == nullptr ? Status() : client.rounds()->status_of(operation);
  });
}

Status Worker::Impl::wait_all(Milliseconds timeout) {
  const client::Driver::Wait wait{{{}, true, false}, is_idle};
  if (!driver_->wait(wait, deadline_after(timeout))) {
    const size_t count =
        driver_->with([](Client& client) { return client.rounds()->busy_count(); });
    return timed_out("wait for " + std::to_string(count) + " operations", timeout, "");
  }
  return driver_->with([](Client& client) {
    return client.rounds() == nullptr ? Status() : client.rounds()->first_failure();
  });
}

Status Worker::Impl::barrier(Milliseconds timeout) {
  // One barrier of a rank at a time: that is what the hub counts. (No std::timed_mutex: the thread
  // sanitizer of g++ 12 does not know it.)
  std::unique_lock lock(barrier_mutex_);
  if (!barrier_free_.wait_for(lock, timeout, [&] { return !is_in_barrier_; })) {
    return Status(Code::timed_out, "barrier: " + client::timed_out_after(timeout) +
                                       ": another thread's barrier has not ended");
  }
  is_in_barrier_ = true;
  lock.unlock();
  const Status status = own_barrier(timeout);
  lock.lock();
  is_in_barrier_ = false;
  barrier_free_.notify_one();
  return status;
}

Status Worker::Impl::own_barrier(Milliseconds timeout) {
  const Result<uint64_t> id = driver_->with([](Client& c) { return c.begin_barrier(); });
  if (!id.ok()) return id.status();
  if (!wait_for([&](const Client& c) { return is_over(c) || c.is_barrier_done(*id); }, timeout)) {
    return timed_out("barrier", timeout, "");
  }
  return driver_->with([&](Client& client) {
    return client.is_barrier_done(*id) ? Status() : failure_of(client, "barrier");
  });
}

Status Worker::Impl::set_step(const StepSettings& settings) {
  const Result<uint64_t> id = driver_->with([&](Client& c) { return c.ask_settings(settings); });
  if (!id.ok()) return id.status();
  wait_for([&](const Client& c) { return is_over(c) || c.has_reply(*id); }, options_.wait_timeout);
  return driver_->with([&](Client& client) {
    const bool is_done = client.take_reply(*id).has_value();
    const std::string silent = client.silent_hubs(*id);
    client.forget(*id);
    if (is_done) return Status();
    if (is_over(client)) return failure_of(client, "set_step");
    return Status(Code::timed_out, "set_step: " + client::timed_out_after(options_.wait_timeout) +
                                       ": " + silent + " did not answer");
  });
}

Result<exchange::StateReply> Worker::Impl::ask_state(exchange::StateQuery query) {
  const char* const call = query.write ? "write_state" : "read_state";
  const Result<uint64_t> id =
      driver_->with([&](Client& client) { return client.ask_state(std::move(query)); });
  if (!id.ok()) return id.status();
  wait_for([&](const Client& c) { return is_over(c) || c.has_reply(*id); }, options_.wait_timeout);
  return driver_->with([&](Client& client) -> Result<exchange::StateReply> {
    std::optional<exchange::Body> reply = client.take_reply(*id);
    const std::string silent = client.silent_hubs(*id);
    client.forget(*id);
    auto* const state = reply.has_value() ? std::get_if<exchange::StateReply>(&*reply) : nullptr;
    if (state != nullptr) return std::move(*state);
    if (is_over(client)) return failure_of(client, call);
    return Status(Code::timed_out, std::string(call) + ": " +
                                       client::timed_out_after(options_.wait_timeout) + ": " +
                                       silent + " did not answer");
  });
}

Result<TensorSpec> Worker::Impl::find_tensor(const char* call, TensorId tensor) {
  return driver_->with([&](Client& client) -> Result<TensorSpec> {
    if (index_of(tensor) < client.tensor_count()) return client.spec(tensor);
    return Status(Code::not_found, std::string(call) + " tensor " +
                                       std::to_string(index_of(tensor)) + ": unknown; " +
                                       std::to_string(client.tensor_count()) +
                                       " tensors are registered");
  });
}

Status Worker::Impl::leave(Milliseconds timeout) {
  if (const Status status = wait_all(timeout); !status.ok()) return status.with_context("leave");
  PHUB_TRY(driver_->with([](Client& client) { return client.begin_leave(); }));
  if (!wait_for(is_over, timeout)) {
    const std::string who = driver_->with([](Client& c) { return c.silent_hubs(0); });
    return Status(Code::timed_out,
                  "leave: " + client::timed_out_after(timeout) + ": " + who + " did not answer");
  }
  return driver_->with([](Client& client) {
    return client.state() == State::left ? Status() : client.failure().with_context("leave");
  });
}

}  // namespace phub
