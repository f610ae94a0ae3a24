// Goal: the dpdk fabric keeps the contract over every kind of device that needs no NIC.
// Method: hub and workers in one process and one thread, one device of the hub's for each worker:
// rings, memif, af_packet on veth pairs; over IPv4 and IPv6; with losses, repeats and reordering of
// packets below, and of events on top (the faulty decorator); and with packets gathered from where
// their bytes lie.
#include <sched.h>

#include "tests/transport/conformance.h"
#include "tests/transport/conformance_faults.h"
#include "tests/transport/dpdk_support.h"
#include "tests/transport/lossy_wire.h"
#include "transport/datagram.h"
#include "transport/faulty.h"

namespace phub::transport {
namespace {

struct Manner {
  bool is_ipv4 = false;
  bool is_lossy = false;
  bool gathers = false;
  bool is_faulty = false;
};

class DpdkPair final : public FabricPair {
 public:
  DpdkPair(const dpdk::Devices& devices, const Manner& manner) : manner_(manner) {
    const bool is_ipv4 = manner.is_ipv4;
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
  // Losing and holding are the test's.
  bool allocates_on_data_path() const override { return manner_.is_lossy || manner_.is_faulty; }
  bool takes_whole_batches() const override { return !manner_.is_faulty; }

 private:
  std::unique_ptr<Fabric> make(const std::vector<std::string>& devices, const std::string& ip,
                               uint32_t shard_count) {
    std::unique_ptr<Wire> wire = dpdk::make_test_wire(devices, ip, 0, shard_count, manner_.gathers);
    if (manner_.is_lossy) {
      wire = std::make_unique<LossyWire>(std::move(wire), 7 + connectors_.size(),
                                         WireFaults{0.1, 0.1, 0.1});
    }
    auto fabric = std::make_unique<DatagramFabric>(std::move(wire),
                                                   DatagramOptions{.keepalive_ns = 10'000'000});
    if (!manner_.is_faulty) return fabric;
    return std::make_unique<FaultyFabric>(std::move(fabric), kConformanceFaults);
  }

  Manner manner_;
  std::unique_ptr<Fabric> acceptor_;
  std::vector<std::unique_ptr<Fabric>> connectors_;
};

auto over(const dpdk::Devices& (*devices)(), const Manner& manner) {
  return [=] { return std::make_unique<DpdkPair>(devices(), manner); };
}

constexpr Manner kIpv4{.is_ipv4 = true};
constexpr Manner kIpv6{};
constexpr Manner kLossy{.is_ipv4 = true, .is_lossy = true};
constexpr Manner kGather{.is_ipv4 = true, .gathers = true};
constexpr Manner kGatherLossy{.is_lossy = true, .gathers = true};
constexpr Manner kFaulty{.is_ipv4 = true, .is_faulty = true};

INSTANTIATE_FABRIC_CONFORMANCE(dpdk_ring, over(dpdk::ring_devices, kIpv6), "");
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_memif_ipv4, over(dpdk::memif_devices, kIpv4), "");
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_memif_ipv6, over(dpdk::memif_devices, kIpv6), "");
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_memif_lossy, over(dpdk::memif_devices, kLossy), "");
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_memif_faulty, over(dpdk::memif_devices, kFaulty), "");
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_memif_gather, over(dpdk::memif_devices, kGather), "");
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_memif_gather_lossy, over(dpdk::memif_devices, kGatherLossy),
                               "");
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_af_packet, over(dpdk::packet_devices, kIpv4),
                               dpdk::why_no_packet_devices());
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_af_packet_jumbo, over(dpdk::jumbo_packet_devices, kIpv6),
                               dpdk::why_no_packet_devices());
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_af_packet_gather, over(dpdk::jumbo_packet_devices, kGather),
                               dpdk::why_no_packet_devices());

}  // namespace
}  // namespace phub::transport
