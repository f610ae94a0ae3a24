// Set-up and sleep of a DPDK wire; dpdk_send.cc and dpdk_receive.cc move packets.
#include "transport/dpdk/dpdk_wire.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "base/try.h"
#include "transport/dpdk/eal.h"

namespace phub::transport::dpdk {
namespace {

constexpr int64_t kNapMaxNs = 1'000'000;
constexpr size_t kRoutesMax = 4096;
// With all devices at once; when all are, bytes are copied.
constexpr uint32_t kLentPackets = 4095;

std::vector<rte_device*> bus_devices(const std::vector<Device>& devices) {
  std::vector<rte_device*> all;
  for (const Device& device : devices) all.push_back(device.bus_device());
  return all;
}

void set_timer(int fd, int64_t ns) {
  const itimerspec after{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = ns}};
  PHUB_CHECK(::timerfd_settime(fd, 0, &after, nullptr) == 0);
}

}  // namespace

Result<std::unique_ptr<DpdkWire>> DpdkWire::make(const config::DpdkOptions& options, uint32_t shard,
                                                 uint32_t shard_count) {
  PHUB_TRY_ASSIGN(std::shared_ptr<Station> station, Station::join(options, shard, shard_count));
  base::Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!timer.valid()) {
    station->leave(shard);
    return Status(Code::resource_exhausted, "dpdk: no timer: " + base::errno_text());
  }
  std::unique_ptr<DpdkWire> wire(
      new DpdkWire(options, std::move(station), shard, std::move(timer)));
  PHUB_TRY(wire->make_lent_pool());
  if (wire->station_->is_started()) wire->make_lanes();
  return wire;
}

DpdkWire::DpdkWire(const config::DpdkOptions& options, std::shared_ptr<Station> station,
                   uint32_t shard, base::Fd timer)
    : station_(std::move(station)),
      shard_(shard),
      place_(station_->place(shard)),
      head_bytes_(frame_head_bytes(place_)),
      pool_(station_->send_pool(shard)),
      mailbox_(station_->mailbox(shard)),
      timer_(std::move(timer)),
      lent_memory_(bus_devices(station_->devices())),
      forces_gather_(options.forces_gather),
      process_(::getpid()) {
  routes_.reserve(kRoutesMax);
}

DpdkWire::~DpdkWire() {
  if (::getpid() != process_) {  // Rings, pools and mappings are the parent's.
    lent_memory_.forget();
    return;
  }
  flush();
  free_held();
  ::rte_pktmbuf_free_bulk(early_.data(), static_cast<unsigned>(early_count_));
  ::rte_pktmbuf_free_bulk(buffers_.data(), static_cast<unsigned>(buffer_count_));
  for (Lane& lane : lanes_) ::rte_pktmbuf_free_bulk(lane.waiting.data(), lane.count);
  if (mailbox_ != nullptr) {
    void* packet = nullptr;
    while (::rte_ring_sc_dequeue(mailbox_, &packet) == 0) {
      ::rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
    }
  }
  PHUB_DCHECK(lent_count_ == 0);
  station_->leave(shard_);
}

Status DpdkWire::make_lent_pool() {
  if (!wants_gather()) return {};
  PHUB_TRY_ASSIGN(lent_pool_, take_pool({.buffer_count = kLentPackets,
                                         .private_bytes = lent_bytes(),
                                         .socket = station_->devices().front().socket()}));
  return {};
}

void DpdkWire::make_lanes() {
  lanes_.clear();
  lanes_of_.clear();
  for (const QueueOf& queue : station_->queues_of(shard_)) {
    if (queue.device_index == lanes_of_.size()) {
      lanes_of_.push_back(static_cast<uint32_t>(lanes_.size()));
    }
    lanes_.push_back({.of = queue});
  }
  PHUB_CHECK(lanes_of_.size() == station_->devices().size());
  gathers_ = lent_pool_ != nullptr && wants_gather();
}

size_t DpdkWire::mtu() const { return station_->mtu() - (head_bytes_ - kEthernetBytes); }

Status DpdkWire::prepare(const WireAddress& peer) {
  const UdpPlace to = place_of(peer);
  if (to.is_ipv4() != place_.is_ipv4()) {
    return Status(Code::invalid_argument,
                  "dpdk: " + to_text(place_) + " cannot reach " + to_text(to) +
                      ": one is IPv4, the other IPv6; give both devices addresses of one kind");
  }
  if (to.queue >= to.queue_count) {
    return Status(Code::invalid_argument, "dpdk: the peer's address is malformed");
  }
  if ((static_cast<uint8_t>(to.mac[0]) & 1) != 0) {
    return Status(Code::invalid_argument,
                  "dpdk: " + to_text(to) + " is the address of a group, not of a peer");
  }
  expect(to.mac);
  if (!station_->is_worker()) return {};
  PHUB_TRY(station_->start(to.queue_count));
  if (lanes_.empty()) make_lanes();
  return {};
}

// By which device it is reached is learned from its packets.
void DpdkWire::expect(const std::array<std::byte, 6>& mac) {
  const auto known = std::find_if(routes_.begin(), routes_.end(),
                                  [&mac](const Route& route) { return route.mac == mac; });
  if (known != routes_.end()) return;
  if (routes_.size() == kRoutesMax) routes_.erase(routes_.begin());  // The oldest.
  routes_.push_back({mac, kUnheard});
  last_from_ = {};
  last_device_ = -1;
}

bool DpdkWire::arm() {
  flush();
  if (early_count_ == 0) early_count_ = collect(early_);
  if (early_count_ > 0) return false;
  set_timer(timer_.get(), nap_ns_);
  nap_ns_ = std::min(2 * nap_ns_, kNapMaxNs);
  return true;
}

void DpdkWire::disarm() {
  uint64_t expired_count = 0;
  // Nothing to read while it still runs: then it is stopped.
  if (::read(timer_.get(), &expired_count, sizeof(expired_count)) < 0) set_timer(timer_.get(), 0);
}

}  // namespace phub::transport::dpdk
