// Client: messages of the session that may come at any time, each with its reply.
#include <type_traits>
#include <utility>
#include <variant>

#include "base/try.h"
#include "worker_lib/client.h"
#include "worker_lib/validate.h"

namespace phub::client {

void Client::handle(exchange::Message message) {
  ++news_;
  std::visit(
      [&](auto& body) {
        using Body = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<Body, exchange::Offer>) {
          on_offer(body, std::move(message.fds));
        } else if constexpr (std::is_same_v<Body, exchange::Challenge> ||
                             std::is_same_v<Body, exchange::Welcome> ||
                             std::is_same_v<Body, exchange::Start> ||
                             std::is_same_v<Body, exchange::Failure>) {
          on(body);
        } else if constexpr (std::is_same_v<Body, exchange::BarrierDone>) {
          if (body.id == open_barrier_) open_barrier_ = 0;
        } else if constexpr (std::is_same_v<Body, exchange::SettingsDone> ||
                             std::is_same_v<Body, exchange::LateReport> ||
                             std::is_same_v<Body, exchange::StateReply>) {
          expect_reply(body.id, std::move(body));
        } else if constexpr (std::is_same_v<Body, exchange::Left>) {
          if (state_ == State::leaving) state_ = State::left;
        } else if constexpr (!std::is_same_v<Body, exchange::Heartbeat>) {
          fail(Status(Code::internal, "hub " + options_.hub +
                                          " sent a message that only workers send; is something "
                                          "else listening there?"));
        }
      },
      message.body);
}

void Client::on(exchange::Failure& failure) {
  const auto code = static_cast<Code>(failure.code);
  const bool is_known = code > Code::ok && code <= Code::internal;
  fail(Status(is_known ? code : Code::aborted, std::move(failure.message)));
}

// A reply to somebody who has given up is dropped.
void Client::expect_reply(uint64_t id, exchange::Body body) {
  if (asked_.erase(id) > 0) replies_.emplace(id, std::move(body));
}

std::optional<exchange::Body> Client::take_reply(uint64_t id) {
  const auto found = replies_.find(id);
  if (found == replies_.end()) return std::nullopt;
  exchange::Body body = std::move(found->second);
  replies_.erase(found);
  return body;
}

void Client::forget(uint64_t id) {
  asked_.erase(id);
  replies_.erase(id);
}

Result<uint64_t> Client::ask_settings(const StepSettings& settings) {
  PHUB_TRY(check_alive("set_step"));
  if (options_.rank != Rank{0}) {
    return Status(Code::permission_denied, "set_step: only rank 0 may, this is rank " +
                                               std::to_string(index_of(options_.rank)));
  }
  if (const Status status = check_settings(settings); !status.ok()) {
    return status.with_context("set_step");
  }
  if (state_ != State::running) {
    return Status(Code::failed_precondition, "set_step: call register_tensors first");
  }
  exchange::Settings message{next_id_++, settings, {}};
  for (uint32_t t = 0; t < tensor_count(); ++t) {
    message.first_rounds.push_back(rounds_->last_round(t) + 1);
  }
  asked_.insert(message.id);
  const uint64_t id = message.id;
  send(std::move(message));
  return id;
}

Result<uint64_t> Client::ask_late() {
  PHUB_TRY(check_alive("ask who is late"));
  asked_.insert(next_id_);
  send(exchange::LateQuery{next_id_});
  return next_id_++;
}

Result<uint64_t> Client::ask_state(exchange::StateQuery query) {
  PHUB_TRY(check_alive(query.write ? "write_state" : "read_state"));
  query.id = next_id_++;
  const uint64_t id = query.id;
  asked_.insert(id);
  send(std::move(query));
  return id;
}

Result<uint64_t> Client::begin_barrier() {
  PHUB_TRY(check_alive("barrier"));
  if (open_barrier_ == 0) {
    open_barrier_ = next_barrier_++;
    send(exchange::Barrier{open_barrier_});
  }
  return open_barrier_;
}

Status Client::begin_leave() {
  PHUB_TRY(check_alive("leave"));
  if (rounds_ != nullptr && !rounds_->is_idle()) {
    return Status(Code::failed_precondition, "leave: operations are in flight; wait for them");
  }
  state_ = State::leaving;
  send(exchange::Leave{});
  return {};
}

}  // namespace phub::client
