// The simulator's reliable, ordered connections. The network below may reorder, so messages carry
// numbers and wait here for their turn.
#include <deque>

#include "transport/sim_core.h"

namespace phub::transport {
namespace {

class PipeEnd final : public SimPipe, public SimEndpoint {
 public:
  PipeEnd(SimCore& core, NodeId node) : SimEndpoint(core, node) {}
  ~PipeEnd() override { PipeEnd::close(); }

  void join(const PipeEnd& peer) {
    peer_node_ = peer.node();
    peer_ = peer.id();
  }

  void send(std::shared_ptr<void> message) override {
    if (is_dead() || !state_.ok()) return;
    core_.send_reliably(node(), peer_node_, peer_,
                        [number = next_sent_++, message = std::move(message)](SimEndpoint& to) {
                          static_cast<PipeEnd&>(to).take(number, message);
                        });
  }

  std::optional<std::shared_ptr<void>> receive() override {
    if (is_dead() || arrived_.empty()) return std::nullopt;
    std::shared_ptr<void> message = std::move(arrived_.front());
    arrived_.pop_front();
    return message;
  }

  Status state() const override { return state_; }

  void close() override {
    send(nullptr);  // A null message ends the stream, in order.
    if (state_.ok()) state_ = Status(Code::unavailable, "closed here");
  }

  void on_silence(NodeId peer, uint64_t last_id, const std::string& reason) override {
    if (peer == peer_node_ && peer_ <= last_id) end(reason);
  }

 private:
  void take(uint64_t number, std::shared_ptr<void> message) {
    if (!state_.ok()) return;
    early_.emplace(number, std::move(message));
    while (!early_.empty() && early_.begin()->first == next_taken_) {
      std::shared_ptr<void> next = std::move(early_.begin()->second);
      early_.erase(early_.begin());
      ++next_taken_;
      if (next == nullptr) return end("connection closed by the other end");
      arrived_.push_back(std::move(next));
    }
  }

  void end(std::string reason) {
    if (state_.ok()) state_ = Status(Code::unavailable, std::move(reason));
  }

  NodeId peer_node_{0};
  uint64_t peer_ = 0;
  uint64_t next_sent_ = 0;
  uint64_t next_taken_ = 0;
  std::map<uint64_t, std::shared_ptr<void>> early_;
  std::deque<std::shared_ptr<void>> arrived_;
  Status state_;
};

}  // namespace

std::pair<std::unique_ptr<SimPipe>, std::unique_ptr<SimPipe>> make_sim_pipe(SimCore& core, NodeId a,
                                                                            NodeId b) {
  auto first = std::make_unique<PipeEnd>(core, a);
  auto second = std::make_unique<PipeEnd>(core, b);
  first->join(*second);
  second->join(*first);
  return {std::move(first), std::move(second)};
}

}  // namespace phub::transport
