// The receiving half of a DPDK wire.
#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include <algorithm>

#include "transport/dpdk/dpdk_wire.h"
#include "transport/dpdk/eal.h"

namespace phub::transport::dpdk {
namespace {

// NONE: the field holds no whole sum, but the device vouches for the bytes (virtio does, between
// guests of one host).
FrameChecks checks_of(const rte_mbuf& packet) {
  const uint64_t ip = packet.ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
  const uint64_t udp = packet.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
  return {
      .device_checked_ip = ip == RTE_MBUF_F_RX_IP_CKSUM_GOOD || ip == RTE_MBUF_F_RX_IP_CKSUM_NONE,
      .device_checked_udp =
          udp == RTE_MBUF_F_RX_L4_CKSUM_GOOD || udp == RTE_MBUF_F_RX_L4_CKSUM_NONE};
}

}  // namespace

void DpdkWire::free_held() {
  ::rte_pktmbuf_free_bulk(held_.data(), static_cast<unsigned>(held_count_));
  held_count_ = 0;
}

// Each queue in turn, so that a busy one does not starve the others.
size_t DpdkWire::collect(std::span<rte_mbuf*> packets) {
  size_t count = std::min(early_count_, packets.size());
  std::copy_n(early_.begin(), count, packets.begin());
  std::copy(early_.begin() + count, early_.begin() + early_count_, early_.begin());
  early_count_ -= count;
  if (mailbox_ != nullptr && count < packets.size()) {
    count += ::rte_ring_sc_dequeue_burst(mailbox_, reinterpret_cast<void**>(&packets[count]),
                                         static_cast<unsigned>(packets.size() - count), nullptr);
  }
  for (size_t i = 0; i < lanes_.size() && count < packets.size(); ++i) {
    const Lane& lane = lanes_[next_lane_];
    next_lane_ = next_lane_ + 1 == lanes_.size() ? 0 : next_lane_ + 1;
    const uint16_t got = ::rte_eth_rx_burst(lane.of.device->port(), lane.of.queue, &packets[count],
                                            static_cast<uint16_t>(packets.size() - count));
    for (uint16_t k = 0; k < got; ++k) packets[count + k]->hash.usr = lane.of.device_index;
    count += got;
  }
  return count;
}

size_t DpdkWire::receive(std::span<WirePacket> packets) {
  adopt_thread();
  free_held();
  std::array<rte_mbuf*, kBurst> raw;
  const size_t count = collect(std::span(raw).first(std::min(raw.size(), packets.size())));
  if (count > 0) nap_ns_ = kNapMinNs;
  for (size_t i = 0; i < std::min<size_t>(count, 2); ++i) {
    rte_prefetch0(rte_pktmbuf_mtod(raw[i], void*));
  }
  for (size_t i = 0; i < count; ++i) {
    if (i + 2 < count) rte_prefetch0(rte_pktmbuf_mtod(raw[i + 2], void*));
    if (accept(raw[i], &packets[held_count_])) held_[held_count_++] = raw[i];
  }
  return held_count_;
}

// False: the packet is gone.
bool DpdkWire::accept(rte_mbuf* packet, WirePacket* accepted) {
  const bool is_whole = packet->nb_segs == 1 || ::rte_pktmbuf_linearize(packet) == 0;
  const std::optional<Frame> frame =
      is_whole ? parse_frame({rte_pktmbuf_mtod(packet, const std::byte*), packet->data_len},
                             checks_of(*packet))
               : std::nullopt;
  if (!frame) {
    ++counters_.malformed;
    ::rte_pktmbuf_free(packet);
    return false;
  }
  const uint32_t shard = uint32_t{frame->to_port} + shard_ - place_.port;  // Wraps if it is below.
  if (frame->to_mac != place_.mac || frame->to_ip != place_.ip ||
      shard >= station_->shard_count()) {
    ++counters_.foreign;
    ::rte_pktmbuf_free(packet);
    return false;
  }
  if (shard != shard_) return hand_over(packet, shard);
  learn(frame->from.mac, packet->hash.usr);
  *accepted = {to_address(frame->from), frame->payload, frame->is_marked};
  return true;
}

bool DpdkWire::hand_over(rte_mbuf* packet, uint32_t shard) {
  if (::rte_ring_mp_enqueue(station_->mailbox(shard), packet) != 0) {
    ++counters_.dropped;
    ::rte_pktmbuf_free(packet);
  } else {
    ++counters_.handed_over;
  }
  return false;
}

// Only where peers are that prepare() was told of: strangers move nobody's packets.
void DpdkWire::learn(const std::array<std::byte, 6>& mac, uint32_t device) {
  if (lanes_of_.size() == 1) return;
  if (last_from_.mac == mac && last_from_.device == device) return;
  const auto known = std::find_if(routes_.begin(), routes_.end(),
                                  [&mac](const Route& route) { return route.mac == mac; });
  if (known == routes_.end()) return;
  last_from_ = {mac, device};
  known->device = device;
  last_device_ = -1;  // Look again.
}

}  // namespace phub::transport::dpdk
