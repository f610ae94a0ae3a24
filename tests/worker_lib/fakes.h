// A session and a fabric that do what the test says, and write down what the client does.
#pragma once

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "exchange/session_channel.h"
#include "exchange/wire.h"
#include "transport/fabric.h"

namespace phub::client {

// What both ends of a FakeChannel share. Thread-safe, so that a test can play the hub while another
// thread waits.
class Session {
 public:
  Session() : wake_(std::move(base::make_event_fd()).value()) {}

  void deliver(exchange::Body body, std::vector<base::Fd> fds = {}) {
    const std::scoped_lock lock(mutex_);
    incoming_.push_back({std::move(body), std::move(fds)});
    base::signal_event(wake_.get());
  }
  void end(const std::string& why) {
    const std::scoped_lock lock(mutex_);
    state_ = Status(Code::unavailable, why);
    base::signal_event(wake_.get());
  }
  // Runs once, just after the client has found nothing.
  std::function<void()> when_empty;

  // The oldest message of this type that the client sent and nobody took; null if none.
  template <typename Body>
  std::unique_ptr<Body> take() {
    const std::scoped_lock lock(mutex_);
    for (auto at = sent_.begin(); at != sent_.end(); ++at) {
      auto* const body = std::get_if<Body>(&at->body);
      if (body == nullptr) continue;
      auto taken = std::make_unique<Body>(std::move(*body));
      sent_.erase(at);
      return taken;
    }
    return nullptr;
  }

 private:
  friend class FakeChannel;
  std::mutex mutex_;
  std::vector<exchange::Message> sent_;
  std::deque<exchange::Message> incoming_;
  Status state_;
  base::Fd wake_;
};

class FakeChannel : public exchange::SessionChannel {
 public:
  explicit FakeChannel(std::shared_ptr<Session> session) : session_(std::move(session)) {}

  void send(exchange::Message message) override {
    const std::scoped_lock lock(session_->mutex_);
    session_->sent_.push_back(std::move(message));
  }
  std::optional<exchange::Message> receive(base::Instant) override {
    std::unique_lock lock(session_->mutex_);
    if (session_->incoming_.empty()) {
      base::drain_event(session_->wake_.get());
      const std::function<void()> then = std::exchange(session_->when_empty, nullptr);
      lock.unlock();
      if (then) then();
      return std::nullopt;
    }
    exchange::Message message = std::move(session_->incoming_.front());
    session_->incoming_.pop_front();
    return message;
  }
  Status state() const override {
    const std::scoped_lock lock(session_->mutex_);
    return session_->state_;
  }
  int fd() const override { return session_->wake_.get(); }

 private:
  std::shared_ptr<Session> session_;
};

// The connector's side of a network that moves nothing by itself: the test reads the puts and
// delivers the events. Only the event queue and arm() may be used from a second thread.
class FakeFabric : public transport::Fabric {
 public:
  explicit FakeFabric(transport::Traits traits)
      : traits_(traits), wake_(std::move(base::make_event_fd()).value()) {}

  std::string_view name() const override { return "fake"; }
  transport::Traits traits() const override { return traits_; }
  Result<std::span<std::byte>> allocate(size_t bytes) override {
    if (bytes > memory_limit) return Status(Code::resource_exhausted, "no memory");
    memory_.emplace_back(bytes / 64 + 2);
    auto address = reinterpret_cast<uintptr_t>(memory_.back().data());
    address = (address + 63) / 64 * 64;
    return std::span(reinterpret_cast<std::byte*>(address), bytes);
  }
  Result<transport::LinkId> open(const transport::LinkOptions&, transport::Bootstrap*) override {
    return Status(Code::unimplemented, "the fake only connects");
  }
  Status accept(transport::LinkId, transport::Bootstrap) override {
    return Status(Code::unimplemented, "the fake only connects");
  }
  Result<transport::LinkId> connect(const transport::LinkOptions& options,
                                    transport::Bootstrap offer,
                                    transport::Bootstrap* answer) override {
    if (offer.blob == "broken") return Status(Code::invalid_argument, "a broken offer");
    links.push_back(options);
    answer->blob = "answer to " + offer.blob;
    return transport::LinkId{static_cast<uint32_t>(links.size() - 1)};
  }
  void close(transport::LinkId link) override { closed.push_back(link); }
  std::string lost_reason(transport::LinkId) const override { return "the cable is cut"; }
  std::byte* window(transport::LinkId, uint32_t) override { return nullptr; }

  size_t put(std::span<const transport::Put> wanted) override {
    const size_t count = std::min(wanted.size(), room);
    room -= count;
    puts.insert(puts.end(), wanted.begin(), wanted.begin() + static_cast<std::ptrdiff_t>(count));
    for (size_t i = 0; i < count && is_echo; ++i) echo(wanted[i]);
    return count;
  }
  size_t poll(base::Instant, std::span<transport::Event> events) override {
    const std::scoped_lock lock(mutex_);
    const size_t count = std::min(events.size(), events_.size());
    for (size_t i = 0; i < count; ++i) {
      events[i] = events_.front();
      if (events[i].kind == transport::EventKind::arrived) ++unreleased;
      events_.pop_front();
    }
    return count;
  }
  void release(const transport::Event&) override { --unreleased; }
  int fd() const override { return wake_.get(); }
  bool arm() override {
    const std::scoped_lock lock(mutex_);
    ++arm_count;
    return events_.empty();
  }
  transport::Instant next_deadline() const override {
    ++deadline_count;
    return {INT64_MAX};
  }
  void disarm() override { base::drain_event(wake_.get()); }
  void want(transport::LinkId link, uint32_t count) override { wants[index_of(link)] = count; }

  // The hub answers `put` with `payload` (as much as the slot takes).
  void reply(const transport::Put& put, const void* payload) {
    const transport::Slot slot = links[index_of(put.link)].slots[put.slot];
    if (payload != slot.data) std::memcpy(slot.data, payload, slot.bytes);
    add({transport::EventKind::arrived, put.link, put.tag, slot.bytes, slot.data, 0});
  }
  void sent(const transport::Put& put) {
    add({transport::EventKind::sent, put.link, 0, 0, nullptr, put.cookie});
  }
  void add(const transport::Event& event) {
    const std::scoped_lock lock(mutex_);
    events_.push_back(event);
    base::signal_event(wake_.get());
  }
  // As the only rank's hub would: the sum is what was pushed.
  void echo(const transport::Put& put) {
    sent(put);
    const transport::Slot slot = links[index_of(put.link)].slots[put.slot];
    reply(put, put.bytes > 0 ? put.data : slot.data);
  }

  size_t memory_limit = SIZE_MAX;
  size_t room = SIZE_MAX;  // Puts taken before the fabric is full.
  bool is_echo = false;    // Every put is answered at once.
  std::vector<transport::LinkOptions> links;
  std::vector<transport::LinkId> closed;
  std::vector<transport::Put> puts;
  std::map<uint32_t, uint32_t> wants;
  int unreleased = 0;
  int arm_count = 0;
  mutable int deadline_count = 0;

 private:
  struct alignas(64) Line {
    std::byte bytes[64] = {};
  };
  const transport::Traits traits_;
  std::deque<std::vector<Line>> memory_;
  std::mutex mutex_;
  std::deque<transport::Event> events_;
  base::Fd wake_;
};

}  // namespace phub::client
