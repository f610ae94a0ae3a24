// The sending half of a DPDK wire.
#include <rte_ethdev.h>

#include <algorithm>

#include "base/check.h"
#include "transport/dpdk/dpdk_wire.h"
#include "transport/dpdk/eal.h"

namespace phub::transport::dpdk {
namespace {

constexpr uint16_t kSourcePortFirst = 49'152;

// One for each pair of queues, so that switches that hash ports use all their paths.
uint16_t source_port(const UdpPlace& from, const UdpPlace& to) {
  uint32_t hash = 2166136261u;
  const auto mix = [&hash](uint32_t value) { hash = (hash ^ value) * 16777619u; };
  for (size_t i = 12; i < 16; ++i) {
    mix(static_cast<uint32_t>(from.ip[i]));
    mix(static_cast<uint32_t>(to.ip[i]));
  }
  mix(from.port);
  mix(to.port);
  return static_cast<uint16_t>(kSourcePortFirst + (hash >> 18));
}

}  // namespace

bool DpdkWire::fill_buffers() {
  adopt_thread();
  if (::rte_pktmbuf_alloc_bulk(pool_, buffers_.data(), kBurst) != 0) return false;
  buffer_count_ = kBurst;
  return true;
}

// A device that is only busy makes senders wait; one that is stuck must not stop the others.
bool DpdkWire::is_busy() {
  for (Lane& lane : lanes_) {
    if (lane.count < kWaitingMax) continue;
    drain(lane);
    if (lane.count == kWaitingMax && lane.refusals < kRefusalsMax) return true;
  }
  return false;
}

std::span<std::byte> DpdkWire::reserve() {
  if (is_busy()) return {};
  if (buffer_count_ == 0 && !fill_buffers()) return {};
  rte_mbuf* const packet = buffers_[buffer_count_ - 1];
  return {rte_pktmbuf_mtod(packet, std::byte*) + head_bytes_, mtu()};
}

void DpdkWire::send(const WireAddress& address, size_t bytes) {
  rte_mbuf* const packet = buffers_[--buffer_count_];
  packet->data_len = static_cast<uint16_t>(head_bytes_ + bytes);
  packet->pkt_len = packet->data_len;
  launch(packet, address);
}

void DpdkWire::launch(rte_mbuf* packet, const WireAddress& address) {
  const UdpPlace to = place_of(address);
  if (last_device_ < 0 || to.mac != last_to_.mac) {
    last_to_ = to;
    last_device_ = lanes_of_.size() == 1 ? 0 : -1;
    for (const Route& route : routes_) {
      if (route.mac != to.mac || route.device == kUnheard) continue;
      last_device_ = static_cast<int>(route.device);
    }
  }
  if (last_device_ < 0) return send_by_all(to, packet);
  Lane& lane = lane_to(to, static_cast<uint32_t>(last_device_));
  finish(packet, to, *lane.of.device);
  append(lane, packet);
}

// A worker meets the hub's queue where queues are paired; elsewhere its first does for all.
DpdkWire::Lane& DpdkWire::lane_to(const UdpPlace& to, uint32_t device) {
  const uint32_t first = lanes_of_[device];
  if (!station_->is_worker() || !lanes_[first].of.device->is_paired()) return lanes_[first];
  return lanes_[first + to.queue % lanes_[first].of.device->queue_count()];
}

void DpdkWire::finish(rte_mbuf* packet, const UdpPlace& to, const Device& device) {
  const bool is_ipv4 = place_.is_ipv4();
  FrameOptions options{.source_port = source_port(place_, to)};
  if (device.can_sum_udp() && (!is_ipv4 || device.can_sum_ip())) {
    options.device_sums_ip = options.device_sums_udp = true;
    packet->ol_flags |=
        RTE_MBUF_F_TX_UDP_CKSUM |
        (is_ipv4 ? RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM : RTE_MBUF_F_TX_IPV6);
    packet->l2_len = kEthernetBytes;
    packet->l3_len = is_ipv4 ? kIpv4Bytes : kIpv6Bytes;
  }
  if (const rte_mbuf* const rest = packet->next; rest != nullptr) {
    options.rest = {rte_pktmbuf_mtod(rest, const std::byte*), rest->data_len};
  }
  write_frame_head(place_, to, options, {rte_pktmbuf_mtod(packet, std::byte*), packet->data_len});
}

void DpdkWire::append(Lane& lane, rte_mbuf* packet) {
  if (lane.count == kWaitingMax) drain(lane);
  if (lane.count == kWaitingMax) {  // Stuck.
    ++counters_.dropped;
    ::rte_pktmbuf_free(packet);
    return;
  }
  lane.waiting[lane.count++] = packet;
  if (lane.count % kBurst == 0) drain(lane);
}

void DpdkWire::drain(Lane& lane) {
  uint32_t taken = 0;
  while (taken < lane.count) {
    const auto count = static_cast<uint16_t>(std::min<size_t>(lane.count - taken, kBurst));
    const uint16_t sent = ::rte_eth_tx_burst(lane.of.device->port(), lane.of.queue,
                                             lane.waiting.data() + taken, count);
    taken += sent;
    lane.refusals = sent > 0 ? 0 : lane.refusals + 1;
    if (sent < count) break;
  }
  std::copy(lane.waiting.begin() + taken, lane.waiting.begin() + lane.count, lane.waiting.begin());
  lane.count -= taken;
}

// The peer has not been heard yet: whichever device leads to it.
void DpdkWire::send_by_all(const UdpPlace& to, rte_mbuf* packet) {
  for (uint32_t device = 1; device < lanes_of_.size(); ++device) {
    rte_mbuf* const copy = ::rte_pktmbuf_copy(packet, pool_, 0, UINT32_MAX);
    if (copy == nullptr) break;
    Lane& lane = lane_to(to, device);
    finish(copy, to, *lane.of.device);
    append(lane, copy);
  }
  Lane& lane = lane_to(to, 0);
  finish(packet, to, *lane.of.device);
  append(lane, packet);
}

void DpdkWire::flush() {
  for (Lane& lane : lanes_) {
    if (lane.count == 0) continue;
    drain(lane);
    nap_ns_ = kNapMinNs;  // An answer comes soon.
  }
}

}  // namespace phub::transport::dpdk
