#include "tests/transport/dpdk_support.h"

#include <rte_eth_ring.h>
#include <rte_ring.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/check.h"
#include "tests/transport/conformance.h"
#include "transport/dpdk/eal.h"

namespace phub::transport::dpdk {
namespace {

const std::vector<std::string> kEal = {"--no-huge", "--no-pci", "-m", "2048"};

rte_ring* make_ring(const std::string& name) {
  rte_ring* const ring = ::rte_ring_create(name.c_str(), 1024, 0, RING_F_SP_ENQ | RING_F_SC_DEQ);
  PHUB_CHECK(ring != nullptr);
  return ring;
}

Devices make_rings() {
  PHUB_CHECK(start_eal(kEal).ok());
  Devices devices;
  for (size_t i = 0; i < kConnectorCount; ++i) {
    const std::string number = std::to_string(i);
    rte_ring* up = make_ring("up" + number);
    rte_ring* down = make_ring("down" + number);
    PHUB_CHECK(::rte_eth_from_rings(("hub" + number).c_str(), &up, 1, &down, 1, 0) >= 0);
    PHUB_CHECK(::rte_eth_from_rings(("worker" + number).c_str(), &down, 1, &up, 1, 0) >= 0);
    devices.hub.push_back("net_ring_hub" + number);
    devices.workers.push_back("net_ring_worker" + number);
  }
  return devices;
}

Devices make_memifs() {
  const auto memif = [](size_t number, const std::string& role, const std::string& socket) {
    return "net_memif" + std::to_string(number) + ",role=" + role +
           ",id=0,socket-abstract=no,bsize=9216,socket=" + socket;
  };
  Devices devices;
  for (size_t i = 0; i < kConnectorCount; ++i) {
    const std::string socket =
        "/tmp/phub-memif-" + std::to_string(::getpid()) + "-" + std::to_string(i);
    devices.hub.push_back(memif(i, "server", socket));
    devices.workers.push_back(memif(100 + i, "client", "/" + socket));
  }
  return devices;
}

// In a network of this process's own, which ends with it.
bool enter_new_network() {
  static const bool is_there = ::unshare(CLONE_NEWNET) == 0;
  return is_there;
}

Devices make_packet_devices(const std::string& name, uint32_t mtu, const std::string& frames) {
  PHUB_CHECK(enter_new_network());
  Devices devices;
  for (size_t i = 0; i < kConnectorCount; ++i) {
    const std::string hub = name + "h" + std::to_string(i), worker = name + "w" + std::to_string(i);
    const std::string size = " mtu " + std::to_string(mtu);
    PHUB_CHECK(std::system(("/usr/sbin/ip link add " + hub + size + " type veth peer name " +
                            worker + size + " && /usr/sbin/ip link set " + hub +
                            " up && /usr/sbin/ip link set " + worker + " up")
                               .c_str()) == 0);
    devices.hub.push_back("net_af_packet_" + hub + ",iface=" + hub + frames);
    devices.workers.push_back("net_af_packet_" + worker + ",iface=" + worker + frames);
  }
  return devices;
}

}  // namespace

const Devices& ring_devices() {
  static const Devices devices = make_rings();
  return devices;
}

const Devices& memif_devices() {
  static const Devices devices = make_memifs();
  return devices;
}

const Devices& packet_devices() {
  static const Devices devices = make_packet_devices("n", 1500, "");
  return devices;
}

const Devices& jumbo_packet_devices() {
  static const Devices devices =
      make_packet_devices("j", 9000, ",framesz=16384,blocksz=65536,framecnt=256");
  return devices;
}

std::string why_no_packet_devices() {
  if (::geteuid() != 0) return "packet sockets and network namespaces need root";
  bool is_possible = false;
  std::thread([&] {
    is_possible = ::unshare(CLONE_NEWNET) == 0 &&
                  std::system("/usr/sbin/ip link add one type veth peer name two 2>/dev/null") == 0;
  }).join();
  return is_possible ? "" : "this kernel or container has no network namespaces, veth or `ip`";
}

std::unique_ptr<DpdkWire> make_test_wire(const std::vector<std::string>& devices,
                                         const std::string& ip, uint32_t shard,
                                         uint32_t shard_count, bool forces_gather) {
  config::DpdkOptions options{.eal = kEal, .devices = devices, .forces_gather = forces_gather};
  if (!ip.empty()) options.addresses = {ip};
  auto wire = DpdkWire::make(options, shard, shard_count);
  if (!wire.ok()) std::fprintf(stderr, "%s\n", wire.status().message().c_str());
  PHUB_CHECK(wire.ok());
  return std::move(wire).value();
}

}  // namespace phub::transport::dpdk
