#include "worker_lib/client.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/try.h"
#include "exchange/session_auth.h"

namespace phub::client {
namespace {

constexpr std::chrono::microseconds kSessionPollInterval{100};
// A link is often lost, or cannot be made, because the epoch is over: the session says why, and
// better, a little later.
constexpr std::chrono::milliseconds kReasonGrace{500};

// A hub that gave this rank up said so, but a rank that slept may find the connection gone first.
std::string guess(const Status& end) {
  if (end.message().find("closed by the peer") == std::string::npos) return "";
  return "; the hub has ended, or has given this rank up (silent longer than its peer_timeout): "
         "see its log";
}

}  // namespace

std::string_view to_string(State state) {
  switch (state) {
    case State::connecting:
      return "connecting";
    case State::idle:
      return "idle";
    case State::agreeing:
      return "agreeing";
    case State::running:
      return "running";
    case State::leaving:
      return "leaving";
    case State::left:
      return "left";
    case State::failed:
      return "failed";
  }
  return "unknown";
}

Client::Client(WorkerOptions options, const Identity& identity, std::vector<HubSession> hubs,
               std::vector<std::unique_ptr<transport::Fabric>> fabrics)
    : options_(std::move(options)),
      hubs_(std::move(hubs)),
      fabrics_(std::move(fabrics)),
      regions_(fabrics_) {
  PHUB_CHECK(!hubs_.empty());
  for (HubSession& hub : hubs_) {
    hub.nonce = exchange::make_nonce();
    exchange::Hello hello;
    hello.job = options_.job;
    hello.job.secret.clear();
    hello.rank = index_of(options_.rank);
    hello.process = identity.process;
    hello.host = identity.host;
    hello.fabric = std::string(fabrics_[hub.fabric]->name());
    hello.nonce = hub.nonce;
    hub.channel->send({std::move(hello), {}});
  }
}

Client::~Client() = default;

void Client::send_to_all(const exchange::Body& body) {
  for (HubSession& hub : hubs_) hub.channel->send({body, {}});
}

bool Client::all_hubs(bool (*is_true)(const HubSession&)) const {
  return std::all_of(hubs_.begin(), hubs_.end(), is_true);
}

size_t Client::poll(Instant now) {
  size_t handled = 0;
  if (state_ == State::failed || state_ == State::left) return handled;
  handled += poll_links(now);
  if (state_ != State::running || now >= next_session_poll_) handled += poll_session(now);
  if (!suspicion_.ok()) await_reason(now);
  return handled;
}

// Also while hubs are still agreeing: links come up in polls, and a hub waits for them. And before:
// fabrics have other business than links, and do not let this thread sleep until it is done. Links
// of the epoch before may be lost meanwhile, for that epoch is over.
size_t Client::poll_links(Instant now) {
  if (rounds_ != nullptr) {
    const size_t handled = rounds_->poll(now);
    if (state_ == State::running && suspicion_.ok()) suspicion_ = rounds_->lost();
    return handled;
  }
  if (agreement_.has_value() && agreement_->rounds != nullptr) {
    const size_t handled = agreement_->rounds->poll(now);
    if (suspicion_.ok()) suspicion_ = agreement_->rounds->lost();
    return handled;
  }
  size_t handled = 0;
  std::array<transport::Event, 16> events;
  for (uint32_t i = 0; i < fabrics_.size(); ++i) {
    const size_t count = fabrics_[i]->poll(now, events);
    for (const transport::Event& event : std::span(events).first(count)) {
      if (event.kind == transport::EventKind::arrived) fabrics_[i]->release(event);
      if (event.kind == transport::EventKind::lost) on_early_loss(i, event.link);
    }
    handled += count;
  }
  return handled;
}

// Of a link that is new, while other hubs have not offered theirs yet.
void Client::on_early_loss(uint32_t fabric, transport::LinkId link) {
  if (!agreement_.has_value()) return;
  for (uint32_t shard = 0; shard < agreement_->links.size() && suspicion_.ok(); ++shard) {
    const ShardLink& known = agreement_->links[shard];
    const bool is_new = hubs_[shape_.shards[shard].hub].has_offered;
    if (!is_new || known.fabric != fabric || known.link != link) continue;
    suspicion_ =
        Status(Code::aborted,
               known.name + " is lost: " + fabrics_[fabric]->lost_reason(link) + "; connect again");
  }
}

size_t Client::poll_session(Instant now) {
  next_session_poll_ = now + kSessionPollInterval;
  size_t handled = 0;
  for (uint32_t hub = 0; hub < hubs_.size(); ++hub) handled += poll_hub(hub, now);
  return handled;
}

size_t Client::poll_hub(uint32_t index, Instant now) {
  HubSession& hub = hubs_[index];
  const auto is_over = [&] {
    return state_ == State::failed || state_ == State::left || hub.has_left;
  };
  // Looked at first: the hub's last words are in the inbox before the channel has ended.
  const Status alive = hub.channel->state();
  size_t handled = 0;
  while (!is_over()) {
    std::optional<exchange::Message> message = hub.channel->receive(now);
    if (!message.has_value()) break;
    handle(index, std::move(*message));
    ++handled;
  }
  if (alive.ok() || is_over()) return handled;
  if (state_ == State::leaving) {
    exchange::Left left;
    on(index, left);  // The hub let go before it said so: gone is gone.
  } else {
    // A hub that gave this rank up said so into a socket that may be gone by now.
    fail(Status(Code::unavailable, "hub " + hub.address + ": " + alive.message() + guess(alive)),
         index);
  }
  return handled + 1;
}

void Client::await_reason(Instant now) {
  if (reason_deadline_.ns == INT64_MAX) reason_deadline_ = now + kReasonGrace;
  if (now >= reason_deadline_) fail(suspicion_);
}

void Client::fail(Status reason, uint32_t culprit) {
  if (state_ == State::failed) return;
  for (uint32_t hub = 0; hub < hubs_.size(); ++hub) {
    if (hub == culprit || hubs_[hub].has_left) continue;
    hubs_[hub].channel->send({exchange::Abort{reason.message()}, {}});
  }
  end(std::move(reason));
}

void Client::end(Status reason) {
  if (state_ == State::failed) return;
  ++news_;
  state_ = State::failed;
  failure_ = std::move(reason);
  if (rounds_ != nullptr) rounds_->fail(failure_);
}

Result<std::span<std::byte>> Client::allocate(size_t bytes) { return regions_.allocate(bytes); }

Status Client::check_alive(std::string_view call) const {
  switch (state_) {
    case State::failed:
      return failure_.with_context(call);
    case State::leaving:
    case State::left:
      return Status(Code::failed_precondition,
                    std::string(call) + ": this rank has left the job; connect again");
    case State::connecting:
      return Status(Code::failed_precondition,
                    std::string(call) + ": the hub has not accepted this rank yet");
    case State::idle:
    case State::agreeing:
    case State::running:
      return {};
  }
  return {};
}

Status Client::check_running(Kind kind, TensorId tensor) const {
  const uint32_t t = index_of(tensor);
  if (state_ == State::running) return {};
  std::string call = std::string(to_string(kind)) + " tensor " + std::to_string(t);
  if (rounds_ != nullptr && t < placements_.tensors.size()) {
    const uint32_t round = rounds_->last_round(t) + (kind == Kind::pull ? 0 : 1);
    call = describe(kind, t, placements_.tensors[t].name, round);
  }
  PHUB_TRY(check_alive(call));
  return Status(Code::failed_precondition,
                call + (state_ == State::agreeing
                            ? ": the ranks are still agreeing on the tensors; let "
                              "register_tensors return first"
                            : ": no tensors are registered; call register_tensors first"));
}

Result<Operation> Client::push_pull(TensorId tensor, const void* gradient, void* result,
                                    Callback done) {
  PHUB_TRY(check_running(Kind::push_pull, tensor));
  return rounds_->push_pull(tensor, gradient, result, std::move(done));
}

Result<Operation> Client::push(TensorId tensor, const void* gradient, Callback done) {
  PHUB_TRY(check_running(Kind::push, tensor));
  return rounds_->push(tensor, gradient, std::move(done));
}

Result<Operation> Client::pull(TensorId tensor, void* result, Callback done) {
  PHUB_TRY(check_running(Kind::pull, tensor));
  return rounds_->pull(tensor, result, std::move(done));
}

Result<Operation> Client::broadcast(TensorId tensor, void* data, Rank root, Callback done) {
  PHUB_TRY(check_running(Kind::broadcast, tensor));
  if (index_of(root) >= options_.job.rank_count) {
    return Status(Code::invalid_argument, "broadcast tensor " + std::to_string(index_of(tensor)) +
                                              ": root is rank " + std::to_string(index_of(root)) +
                                              ", but ranks go from 0 to " +
                                              std::to_string(options_.job.rank_count - 1));
  }
  return rounds_->broadcast(tensor, data, root, options_.rank, std::move(done));
}

std::span<std::byte> Client::result(TensorId tensor) const {
  return rounds_ == nullptr ? std::span<std::byte>() : rounds_->result(index_of(tensor));
}

uint32_t Client::tensor_count() const { return static_cast<uint32_t>(placements_.tensors.size()); }

bool Client::arm(const Interest& interest) {
  if (rounds_ != nullptr && state_ == State::running) rounds_->hint_arrivals(interest);
  for (size_t i = 0; i < fabrics_.size(); ++i) {
    if (fabrics_[i]->arm()) continue;
    while (i-- > 0) fabrics_[i]->disarm();
    return false;
  }
  return true;
}

void Client::disarm() {
  for (const std::unique_ptr<transport::Fabric>& fabric : fabrics_) fabric->disarm();
}

Instant Client::next_deadline() const {
  Instant next = reason_deadline_;
  for (const std::unique_ptr<transport::Fabric>& fabric : fabrics_) {
    next = std::min(next, fabric->next_deadline());
  }
  return next;
}

}  // namespace phub::client
