// Goal: the dpdk fabric keeps the contract over every kind of device that needs no NIC.
// Method: hub and workers in one process, one device of the hub's for each worker: rings, memif
// (each end believes in its own spelling of the socket's path, so that one process may have both),
// and af_packet on veth pairs.
#include <rte_eth_ring.h>
#include <rte_ring.h>
#include <sched.h>
#include <unistd.h>

#include "base/check.h"
#include "tests/transport/conformance.h"
#include "transport/datagram.h"
#include "transport/dpdk/dpdk_wire.h"
#include "transport/dpdk/eal.h"

namespace phub::transport {
namespace {

// The devices of one hub and its workers, which the tests use one after the other.
struct Devices {
  std::vector<std::string> hub;
  std::vector<std::string> workers;
};

const std::vector<std::string> kEal = {"--no-huge", "--no-pci"};

Devices make_rings() {
  PHUB_CHECK(dpdk::start_eal(kEal).ok());
  Devices devices;
  for (size_t i = 0; i < kConnectorCount; ++i) {
    const std::string number = std::to_string(i);
    rte_ring* up =
        ::rte_ring_create(("up" + number).c_str(), 1024, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
    rte_ring* down =
        ::rte_ring_create(("down" + number).c_str(), 1024, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
    PHUB_CHECK(up != nullptr && down != nullptr);
    PHUB_CHECK(::rte_eth_from_rings(("hub" + number).c_str(), &up, 1, &down, 1, 0) >= 0);
    PHUB_CHECK(::rte_eth_from_rings(("worker" + number).c_str(), &down, 1, &up, 1, 0) >= 0);
    devices.hub.push_back("net_ring_hub" + number);
    devices.workers.push_back("net_ring_worker" + number);
  }
  return devices;
}

Devices make_memifs() {
  const std::string folder = "/tmp/phub-memif-" + std::to_string(::getpid());
  const auto memif = [](int number, const std::string& role, const std::string& socket) {
    return "net_memif" + std::to_string(number) + ",role=" + role +
           ",id=0,socket-abstract=no,bsize=2048,socket=" + socket;
  };
  Devices devices;
  for (int i = 0; i < static_cast<int>(kConnectorCount); ++i) {
    const std::string socket = folder + "-" + std::to_string(i);
    ::unlink(socket.c_str());
    devices.hub.push_back(memif(i, "server", socket));
    devices.workers.push_back(memif(100 + i, "client", "/" + socket));
  }
  return devices;
}

class DpdkPair final : public FabricPair {
 public:
  DpdkPair(const Devices& devices, const std::string& hub_ip, const std::string& worker_ip)
      : acceptor_(make(devices.hub, hub_ip, 0, 1)) {
    for (size_t i = 0; i < kConnectorCount; ++i) {
      const std::string ip = worker_ip.empty() ? "" : worker_ip + std::to_string(i + 2);
      connectors_.push_back(make({devices.workers[i]}, ip, 0, 0));
    }
  }
  Fabric& acceptor() override { return *acceptor_; }
  Fabric& connector(size_t index) override { return *connectors_[index]; }
  void settle() override { ::sched_yield(); }
  Instant now() override { return base::now(); }
  bool wakes_by_timer() const override { return true; }

 private:
  static std::unique_ptr<Fabric> make(const std::vector<std::string>& devices,
                                      const std::string& ip, uint32_t shard, uint32_t count) {
    config::DpdkOptions options{.eal = kEal, .devices = devices};
    if (!ip.empty()) options.addresses = {ip};
    auto wire = dpdk::DpdkWire::make(options, shard, count);
    if (!wire.ok()) ADD_FAILURE() << wire.status().message();
    return std::make_unique<DatagramFabric>(std::move(wire).value(), DatagramOptions());
  }

  std::unique_ptr<Fabric> acceptor_;
  std::vector<std::unique_ptr<Fabric>> connectors_;
};

auto over(Devices (*make)(), const std::string& hub_ip = "", const std::string& worker_ip = "") {
  return [=] {
    static const Devices rings = make_rings();
    static const Devices memifs = make_memifs();
    return std::make_unique<DpdkPair>(make == make_rings ? rings : memifs, hub_ip, worker_ip);
  };
}

INSTANTIATE_FABRIC_CONFORMANCE(dpdk_ring, over(make_rings), "");
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_memif_ipv4, over(make_memifs, "10.0.0.1", "10.0.0."), "");
INSTANTIATE_FABRIC_CONFORMANCE(dpdk_memif_ipv6, over(make_memifs), "");

}  // namespace
}  // namespace phub::transport
