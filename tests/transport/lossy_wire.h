// A wire that loses, doubles and reorders what another one carries: what a bad network does, around
// a real device.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "base/random.h"
#include "transport/wire.h"

namespace phub::transport {

struct WireFaults {
  double loss = 0;
  double duplicate = 0;
  double late = 0;  // Probability that a packet comes after the next few.
};

class LossyWire final : public Wire {
 public:
  LossyWire(std::unique_ptr<Wire> wire, uint64_t seed, const WireFaults& faults)
      : wire_(std::move(wire)), random_(seed), faults_(faults) {}

  std::string_view name() const override { return wire_->name(); }
  size_t mtu() const override { return wire_->mtu(); }
  WireAddress address() const override { return wire_->address(); }
  Status prepare(const WireAddress& peer) override { return wire_->prepare(peer); }
  std::span<std::byte> reserve() override { return wire_->reserve(); }
  void send(const WireAddress& to, size_t bytes) override { wire_->send(to, bytes); }
  void flush() override { wire_->flush(); }
  void add_memory(std::span<const std::byte> memory) override { wire_->add_memory(memory); }
  void remove_memory(std::span<const std::byte> memory) override { wire_->remove_memory(memory); }
  bool can_gather(std::span<const std::byte> piece) const override {
    return wire_->can_gather(piece);
  }
  void send_gathered(const WireAddress& to, size_t bytes, std::span<const std::byte> piece,
                     WireLoan& loan) override {
    wire_->send_gathered(to, bytes, piece, loan);
  }
  void reclaim() override { wire_->reclaim(); }
  void recall() override { wire_->recall(); }
  int fd() const override { return wire_->fd(); }
  bool arm() override { return late_.empty() && wire_->arm(); }
  void disarm() override { wire_->disarm(); }

  // All faults are here, so both directions have them when both ends are wrapped.
  size_t receive(std::span<WirePacket> packets) override {
    lent_.clear();
    std::vector<WirePacket> arrived(packets.size() / 2);
    const size_t count = wire_->receive(arrived);
    std::vector<Late> came = std::move(late_);
    late_.clear();
    size_t given = 0;
    for (size_t i = 0; i < count && given + 1 < packets.size(); ++i) {
      if (random_.chance(faults_.loss)) continue;
      if (random_.chance(faults_.late) && late_.size() < packets.size() / 4) {
        late_.push_back(copy_of(arrived[i]));
        continue;
      }
      packets[given++] = arrived[i];
      if (random_.chance(faults_.duplicate)) packets[given++] = arrived[i];
    }
    for (Late& late : came) {
      if (given == packets.size()) break;
      lent_.push_back(std::move(late));
      packets[given++] = {lent_.back().from, lent_.back().bytes, false};
    }
    return given;
  }

 private:
  struct Late {
    WireAddress from;
    std::vector<std::byte> bytes;
  };
  static Late copy_of(const WirePacket& packet) {
    return {packet.from, {packet.bytes.begin(), packet.bytes.end()}};
  }

  std::unique_ptr<Wire> wire_;
  base::Random random_;
  WireFaults faults_;
  std::vector<Late> late_;
  std::vector<Late> lent_;
};

}  // namespace phub::transport
