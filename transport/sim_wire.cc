// The simulator's lossy wire: packets to addresses that are endpoint numbers.
#include <deque>

#include "base/byte_codec.h"
#include "base/check.h"
#include "transport/sim_core.h"

namespace phub::transport {
namespace {

constexpr uint32_t kAddressMagic = 0x454d4953;  // "SIME"

class SimWire final : public Wire, public SimEndpoint {
 public:
  SimWire(SimCore& core, NodeId node) : SimEndpoint(core, node), room_(core.options().mtu) {
    base::ByteWriter writer(address_.bytes);
    writer.number(kAddressMagic);
    writer.number(static_cast<uint32_t>(node));
    writer.number(id());
  }

  std::string_view name() const override { return "sim-wire"; }
  size_t mtu() const override { return room_.size(); }
  WireAddress address() const override { return address_; }
  std::span<std::byte> reserve() override { return room_; }

  void send(const WireAddress& to, size_t bytes) override {
    PHUB_CHECK(bytes <= room_.size());
    if (is_dead()) return;
    base::ByteReader reader(to.bytes);
    if (reader.number<uint32_t>() != kAddressMagic) return;  // Nobody has this address.
    const NodeId to_node{reader.number<uint32_t>()};
    const uint64_t to_id = reader.number<uint64_t>();
    auto packet = std::make_shared<std::vector<std::byte>>(
        room_.begin(), room_.begin() + static_cast<long>(bytes));
    core_.send_unreliably(
        node(), to_node, to_id,
        [from = address_, packet, is_marked = core_.draw_mark()](SimEndpoint& endpoint) {
          // An address made up by a hostile peer may name an endpoint that is no wire.
          if (auto* const wire = dynamic_cast<SimWire*>(&endpoint))
            wire->take(from, *packet, is_marked);
        });
  }

  void flush() override {}

  size_t receive(std::span<WirePacket> packets) override {
    lent_.clear();
    if (is_dead()) return 0;
    while (lent_.size() < packets.size() && !arrived_.empty()) {
      lent_.push_back(std::move(arrived_.front()));
      arrived_.pop_front();
    }
    for (size_t i = 0; i < lent_.size(); ++i)
      packets[i] = {lent_[i].from, lent_[i].bytes, lent_[i].is_marked};
    return lent_.size();
  }

  int fd() const override { return -1; }
  bool arm() override { return arrived_.empty(); }
  void disarm() override {}
  void on_silence(NodeId, uint64_t, const std::string&) override {}  // A wire notices nothing.

 private:
  struct Packet {
    WireAddress from;
    std::vector<std::byte> bytes;
    bool is_marked = false;
  };

  void take(const WireAddress& from, const std::vector<std::byte>& bytes, bool is_marked) {
    if (arrived_.size() >= core_.options().wire_queue_packets) return;
    arrived_.push_back({from, bytes, is_marked});
  }

  WireAddress address_;
  std::vector<std::byte> room_;
  std::deque<Packet> arrived_;
  std::vector<Packet> lent_;
};

}  // namespace

std::unique_ptr<Wire> make_sim_wire(SimCore& core, NodeId node) {
  return std::make_unique<SimWire>(core, node);
}

}  // namespace phub::transport
