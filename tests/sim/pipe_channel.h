// A worker's end of a simulated session: a pipe of messages that all pass through the real codec.
#pragma once

#include <memory>
#include <utility>

#include "base/check.h"
#include "exchange/session_channel.h"
#include "exchange/session_codec.h"
#include "transport/sim.h"

namespace phub::sim {

// Through encode and decode, as a socket would do it.
inline std::shared_ptr<exchange::Message> recoded(exchange::Message message) {
  const std::string frame = exchange::encode(message.body);
  Result<exchange::Body> body = exchange::decode(std::as_bytes(std::span(frame)));
  PHUB_CHECK(body.ok());
  message.body = std::move(body).value();
  return std::make_shared<exchange::Message>(std::move(message));
}

class PipeChannel : public exchange::SessionChannel {
 public:
  explicit PipeChannel(std::unique_ptr<transport::SimPipe> pipe) : pipe_(std::move(pipe)) {}

  void send(exchange::Message message) override { pipe_->send(recoded(std::move(message))); }
  std::optional<exchange::Message> receive(base::Instant) override {
    std::optional<std::shared_ptr<void>> message = pipe_->receive();
    if (!message.has_value()) return std::nullopt;
    return std::move(*std::static_pointer_cast<exchange::Message>(std::move(*message)));
  }
  Status state() const override { return pipe_->state(); }
  int fd() const override { return -1; }

 private:
  std::unique_ptr<transport::SimPipe> pipe_;
};

}  // namespace phub::sim
