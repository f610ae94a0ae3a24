// Client: messages of the session that may come at any time, each with its reply.
#include <type_traits>
#include <utility>
#include <variant>

#include "base/try.h"
#include "worker_lib/client.h"
#include "worker_lib/validate.h"

namespace phub::client {

void Client::handle(uint32_t hub, exchange::Message message) {
  ++news_;
  std::visit(
      [&](auto& body) {
        using Body = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<Body, exchange::Offer>) {
          on_offer(hub, body, std::move(message.fds));
        } else if constexpr (std::is_same_v<Body, exchange::Challenge> ||
                             std::is_same_v<Body, exchange::Welcome> ||
                             std::is_same_v<Body, exchange::Start> ||
                             std::is_same_v<Body, exchange::Left> ||
                             std::is_same_v<Body, exchange::Failure>) {
          on(hub, body);
        } else if constexpr (std::is_same_v<Body, exchange::BarrierDone>) {
          if (hub == 0 && body.id == open_barrier_) open_barrier_ = 0;
        } else if constexpr (std::is_same_v<Body, exchange::SettingsDone> ||
                             std::is_same_v<Body, exchange::LateReport> ||
                             std::is_same_v<Body, exchange::StateReply>) {
          on_reply(hub, body.id, std::move(body));
        } else if constexpr (!std::is_same_v<Body, exchange::Heartbeat>) {
          fail(Status(Code::internal, "hub " + hubs_[hub].address +
                                          " sent a message that only workers send; is something "
                                          "else listening there?"),
               hub);
        }
      },
      message.body);
}

void Client::on(uint32_t hub, exchange::Failure& failure) {
  const auto code = static_cast<Code>(failure.code);
  const bool is_known = code > Code::ok && code <= Code::internal;
  fail(Status(is_known ? code : Code::aborted, std::move(failure.message)), hub);
}

void Client::on(uint32_t hub, exchange::Left&) {
  if (state_ != State::leaving) return;
  ++news_;
  hubs_[hub].has_left = true;
  if (all_hubs([](const HubSession& one) { return one.has_left; })) state_ = State::left;
}

uint64_t Client::ask(exchange::Body body) {
  const uint64_t id = next_id_++;
  send_to_all(body);
  requests_.emplace(
      id, Request{std::move(body), std::vector<std::optional<exchange::Body>>(hubs_.size())});
  return id;
}

// A reply to somebody who has given up is dropped.
void Client::on_reply(uint32_t hub, uint64_t id, exchange::Body body) {
  const auto found = requests_.find(id);
  if (found != requests_.end()) found->second.replies[hub] = std::move(body);
}

bool Client::has_reply(uint64_t id) const {
  const auto found = requests_.find(id);
  return found != requests_.end() && found->second.is_complete();
}

std::optional<exchange::Body> Client::take_reply(uint64_t id) {
  if (!has_reply(id)) return std::nullopt;
  const Request request = std::move(requests_.extract(id).mapped());
  const bool is_state = std::holds_alternative<exchange::StateReply>(*request.replies[0]);
  if (!is_state || hubs_.size() == 1) return request.replies[0];
  if (rounds_ != nullptr) return join_state(request, rounds_->map(), shape_);
  // Which hub has which element is being agreed on anew.
  return exchange::StateReply{
      id,
      static_cast<uint8_t>(Code::failed_precondition),
      "the ranks are agreeing on tensors; let register_tensors return first",
      0,
      {}};
}

std::string Client::take_late_text(uint64_t id) {
  const auto found = requests_.find(id);
  if (found == requests_.end()) return "";
  std::string text = join_late(found->second);
  if (!found->second.is_complete()) {
    text += (text.empty() ? "" : "; ") + silent_hubs(id) + " did not say within 0.3 s who is late";
  }
  requests_.erase(found);
  return text;
}

std::string Client::silent_hubs(uint64_t id) const {
  const auto found = requests_.find(id);
  std::string names;
  for (uint32_t hub = 0; hub < hubs_.size(); ++hub) {
    const bool is_silent = id != 0 ? found != requests_.end() && !found->second.replies[hub]
                           : state_ == State::leaving ? !hubs_[hub].has_left
                                                      : !hubs_[hub].is_welcome();
    if (is_silent) names += (names.empty() ? "hub " : " and hub ") + hubs_[hub].address;
  }
  return names;
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
  exchange::Settings message{next_id_, settings, {}};
  for (uint32_t t = 0; t < tensor_count(); ++t) {
    message.first_rounds.push_back(rounds_->last_round(t) + 1);
  }
  return ask(std::move(message));
}

Result<uint64_t> Client::ask_late() {
  PHUB_TRY(check_alive("ask who is late"));
  return ask(exchange::LateQuery{next_id_});
}

Result<uint64_t> Client::ask_state(exchange::StateQuery query) {
  PHUB_TRY(check_alive(query.write ? "write_state" : "read_state"));
  query.id = next_id_;
  return ask(std::move(query));
}

Result<uint64_t> Client::begin_barrier() {
  PHUB_TRY(check_alive("barrier"));
  if (open_barrier_ == 0) {
    open_barrier_ = next_barrier_++;
    hubs_[0].channel->send({exchange::Barrier{open_barrier_}, {}});
  }
  return open_barrier_;
}

Status Client::begin_leave() {
  PHUB_TRY(check_alive("leave"));
  if (rounds_ != nullptr && !rounds_->is_idle()) {
    return Status(Code::failed_precondition, "leave: operations are in flight; wait for them");
  }
  state_ = State::leaving;
  send_to_all(exchange::Leave{});
  return {};
}

}  // namespace phub::client
