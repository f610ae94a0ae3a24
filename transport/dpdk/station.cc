#include "transport/dpdk/station.h"

#include <rte_errno.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "base/try.h"
#include "transport/dpdk/eal.h"

namespace phub::transport::dpdk {
namespace {

constexpr uint32_t kMailboxPackets = 1024;
constexpr uint32_t kQueuesMax = 1024;
// Of packets on their way from device to slot, or from put to device; and for each device's rings.
constexpr uint32_t kBuffersBase = 1024;
constexpr uint32_t kBuffersPerDevice = 1024;

std::recursive_mutex mutex;  // Recursive: a station that fails to come up goes under it.
std::map<std::string, std::shared_ptr<Station>>& stations() {
  static auto* const all = new std::map<std::string, std::shared_ptr<Station>>();
  return *all;
}
std::set<std::string>& devices_in_use() {
  static auto* const all = new std::set<std::string>();
  return *all;
}

// Twice a power of two less one: what a pool of DPDK's holds best.
uint32_t buffer_count(size_t device_count) {
  return rte_align32pow2(static_cast<uint32_t>(kBuffersBase + device_count * kBuffersPerDevice)) -
         1;
}

}  // namespace

Result<std::shared_ptr<Station>> Station::join(const config::DpdkOptions& options, uint32_t shard,
                                               uint32_t shard_count) {
  const std::scoped_lock lock(mutex);
  PHUB_TRY(start_eal(options.eal));
  std::string key;
  for (const std::string& name : options.devices.empty() ? Device::all_names() : options.devices) {
    key += (key.empty() ? "" : ", ") + name.substr(0, name.find(','));
  }
  if (key.empty()) {
    return Status(Code::not_found,
                  "dpdk: DPDK finds no device; bind a NIC to vfio-pci (dpdk-devbind.py), or make a "
                  "virtual device with DPDK's argument --vdev; DPDK says:\n" +
                      eal_says());
  }
  std::shared_ptr<Station>& station = stations()[key];
  const bool is_alike = station != nullptr && station->shard_count_ == shard_count &&
                        station->udp_port_ == options.udp_port &&
                        station->mtu_wanted_ == options.mtu;
  if (station != nullptr && (is_alike ? station->is_taken_[shard] : station->is_in_use())) {
    return Status(Code::already_exists, "dpdk: the devices " + key + " are in use in this process");
  }
  if (is_alike && !station->is_in_use()) PHUB_TRY(station->choose_address(options));
  if (!is_alike) {
    station.reset();
    std::shared_ptr<Station> built(new Station());
    PHUB_TRY(built->build(options, shard_count));
    station = std::move(built);
  }
  station->is_taken_[shard] = true;
  return station;
}

void Station::leave(uint32_t shard) {
  const std::scoped_lock lock(mutex);
  is_taken_[shard] = false;
}

Station::~Station() {
  const std::scoped_lock lock(mutex);
  for (Device& device : devices_) {
    device.stop();
    devices_in_use().erase(device.name());
  }
  for (rte_ring* const mailbox : mailboxes_) {
    void* packet = nullptr;
    while (::rte_ring_dequeue(mailbox, &packet) == 0) {
      ::rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
    }
    ::rte_ring_free(mailbox);
  }
}

Status Station::build(const config::DpdkOptions& options, uint32_t shard_count) {
  shard_count_ = shard_count;
  mtu_wanted_ = options.mtu;
  udp_port_ = options.udp_port;
  is_taken_.resize(Station::shard_count());
  if (uint32_t{udp_port_} + Station::shard_count() > UINT16_MAX) {
    return Status(Code::invalid_argument, "dpdk: UDP port " + std::to_string(udp_port_) +
                                              " leaves no room for " + std::to_string(shard_count) +
                                              " queues; choose a lower one");
  }
  for (const std::string& name : options.devices.empty() ? Device::all_names() : options.devices) {
    PHUB_TRY_ASSIGN(Device device, Device::find(name, options.mtu));
    if (!devices_in_use().insert(device.name()).second) {
      return Status(Code::already_exists,
                    "dpdk device " + device.name() + " is in use in this process");
    }
    mtu_ = mtu_ == 0 ? device.mtu() : std::min(mtu_, device.mtu());
    devices_.push_back(std::move(device));
  }
  PHUB_TRY(choose_address(options));
  PHUB_TRY(make_pools());
  if (is_worker()) return {};
  PHUB_TRY(make_mailboxes());
  return start(shard_count);
}

// One address for all devices: who sends to it chooses the device by where it heard from it.
Status Station::choose_address(const config::DpdkOptions& options) {
  if (options.addresses.empty()) {
    ip_ = link_local_ip(devices_.front().mac());
    return {};
  }
  const auto ip = parse_ip(options.addresses.front());
  if (!ip) {
    return Status(Code::invalid_argument,
                  "dpdk: address \"" + options.addresses.front() + "\" is neither IPv4 nor IPv6");
  }
  ip_ = *ip;
  return {};
}

Status Station::make_pools() {
  uint16_t bytes = 0;
  for (const Device& device : devices_) bytes = std::max(bytes, device.buffer_bytes());
  const uint32_t count = buffer_count(devices_.size());
  for (uint32_t shard = 0; shard < shard_count(); ++shard) {
    // Buffers that go over to other shards are freed by their threads, whose caches would keep
    // them from the device that waits for them.
    const bool has_cache = shard_count_ < 2;
    const int socket = devices_.front().socket();
    PHUB_TRY_ASSIGN(Pool receive, take_pool({.buffer_count = count,
                                             .buffer_bytes = bytes,
                                             .socket = socket,
                                             .has_cache = has_cache}));
    PHUB_TRY_ASSIGN(Pool send,
                    take_pool({.buffer_count = count, .buffer_bytes = bytes, .socket = socket}));
    receive_pools_.push_back(std::move(receive));
    send_pools_.push_back(std::move(send));
  }
  return {};
}

Status Station::make_mailboxes() {
  static uint32_t serial = 0;
  if (shard_count_ < 2) return {};
  for (uint32_t shard = 0; shard < shard_count_; ++shard) {
    const std::string name = "phub_mailbox_" + std::to_string(serial++);
    rte_ring* const ring =
        ::rte_ring_create(name.c_str(), kMailboxPackets, devices_.front().socket(), RING_F_SC_DEQ);
    if (ring == nullptr) {
      return Status(Code::resource_exhausted,
                    std::string("dpdk: no memory for the ring of shard ") + std::to_string(shard) +
                        ": " + ::rte_strerror(rte_errno));
    }
    mailboxes_.push_back(ring);
  }
  return {};
}

bool Station::is_in_use() const {
  return std::find(is_taken_.begin(), is_taken_.end(), true) != is_taken_.end();
}

Status Station::start(uint32_t queue_count) {
  if (queue_count == 0 || queue_count > kQueuesMax) {
    return Status(Code::invalid_argument,
                  "dpdk: the peer names " + std::to_string(queue_count) + " queues");
  }
  for (Device& device : devices_) {
    // Only of paired devices does the peer's queue decide where packets come in.
    const uint32_t count = device.queues_for(is_worker() && !device.is_paired() ? 1 : queue_count);
    if (device.queue_count() >= count) continue;
    const std::string shown = "dpdk device " + device.name();
    if (device.queue_count() != 0) {
      return Status(Code::failed_precondition,
                    shown + " was started with " + std::to_string(device.queue_count()) +
                        " queue pairs for another hub, but this one has " + std::to_string(count));
    }
    if (count > device.queue_count_max()) {
      return Status(Code::invalid_argument,
                    shown + " has " + std::to_string(device.queue_count_max()) +
                        " queue pairs, but the hub's shards need " + std::to_string(count) +
                        ", one each; start the hub with fewer shards" +
                        (device.is_paired() ? "" : ", or make the device with more"));
    }
    std::vector<rte_mempool*> pools;
    for (uint32_t i = 0; i < count; ++i) {
      pools.push_back(receive_pools_[i % receive_pools_.size()].get());
    }
    PHUB_TRY(device.start(pools));
    PHUB_TRY(device.steer(udp_port_, UdpPlace{.ip = ip_}.is_ipv4()));
  }
  return {};
}

UdpPlace Station::place(uint32_t shard) const {
  return {.mac = devices_.front().mac(),
          .ip = ip_,
          .port = static_cast<uint16_t>(udp_port_ + shard),
          .queue = static_cast<uint16_t>(shard),
          .queue_count = static_cast<uint16_t>(shard_count())};
}

std::vector<QueueOf> Station::queues_of(uint32_t shard) const {
  std::vector<QueueOf> queues;
  for (uint32_t i = 0; i < devices_.size(); ++i) {
    for (uint32_t queue = shard; queue < devices_[i].queue_count(); queue += shard_count()) {
      queues.push_back({&devices_[i], i, static_cast<uint16_t>(queue)});
    }
  }
  return queues;
}

}  // namespace phub::transport::dpdk
