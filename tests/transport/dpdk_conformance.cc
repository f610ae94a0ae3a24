// Goal: the dpdk fabric keeps the contract over every kind of device that needs no NIC.
// Method: hub and workers in one process and one thread, one device of the hub's for each worker:
// rings, memif, af_packet on veth pairs; over IPv4 and IPv6; and with losses, repeats and
// reordering on top.
#include <sched.h>

#include "tests/transport/conformance.h"
#include "tests/transport/dpdk_support.h"
#include "tests/transport/lossy_wire.h"
#include "transport/datagram.h"

namespace phub::transport {
namespace {

class DpdkPair final : public FabricPair {
 public:
  DpdkPair(const dpdk::Devices& devices, bool is_ipv4, bool is_lossy) : is_lossy_(is_lossy) {
    acceptor_ = make(devices.hub, is_ipv4 ? "10.0.0.1" : "", 1);
    for (size_t i = 0; i < kConnectorCount; ++i) {
      const std::string ip = is_ipv4 ? "10.0.0." + std::to_string(i + 2) : "";
      connectors_.push_back(make({devices.workers[i]}, ip, 0));
    }
  }
  Fabric& acceptor() override { return *acceptor_; }
  Fabric& connector(size_t index) override { return *connectors_[index]; }
  void settle() override { ::sched_yield(); }
  Instant now() override { return base::now(); }
  bool wakes_by_timer() const override { return true; }
  bool allocates_on_data_path() const override { return is_lossy_; }  // Losing is the test's.

 private:
  std::unique_ptr<Fabric> make(const std::vector<std::string>& devices, const std::string& ip,
                               uint32_t shard_count) {
    std::unique_ptr<Wire> wire = dpdk::make_test_wire(devices, ip, 0, shard_count);
    if (is_lossy_) {
      wire = std::make_unique<LossyWire>(std::move(wire), 7 + connectors_.size(),
                                         WireFaults{0.1, 0.1, 0.1});
    }
    return std::make_unique<DatagramFabric>(std::move(wire),
                                            DatagramOptions{.keepalive_ns = 10'000'000});
  }

  bool is_lossy_;
  std::unique_ptr<Fabric> acceptor_;
  std::vector<std::unique_ptr<Fabric>> connectors_;
};

auto over(const dpdk::Devices& (*devices)(), bool is_ipv4, bool is_lossy = false) {
  return [=] { return std::make_unique<DpdkPair>(devices(), is_ipv4, is_lossy); };
}

INSTANTIATE_FABRIC_CONFORMANCE(dpdk_ring, over(dpdk::ring_devices, false), "");
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_memif_ipv4, over(dpdk::memif_devices, true), "");
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_memif_ipv6, over(dpdk::memif_devices, false), "");
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_memif_lossy, over(dpdk::memif_devices, true, true), "");
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_af_packet, over(dpdk::packet_devices, true),
                               dpdk::why_no_packet_devices());
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_af_packet_jumbo, over(dpdk::jumbo_packet_devices, false),
                               dpdk::why_no_packet_devices());

}  // namespace
}  // namespace phub::transport
