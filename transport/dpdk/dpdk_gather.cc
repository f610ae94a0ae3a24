// Packets whose end a DPDK wire sends from where it lies: a head in a buffer of the pool, chained
// to a buffer that points to the lent bytes.
#include <rte_ethdev.h>

#include <algorithm>
#include <cstring>

#include "base/clock.h"
#include "transport/dpdk/dpdk_wire.h"
#include "transport/dpdk/eal.h"

namespace phub::transport::dpdk {
namespace {

// A device that sends at all has emptied its ring by then.
constexpr std::chrono::milliseconds kRecallWait{100};

// In the private bytes of each buffer that is attached to lent memory.
struct Lent {
  rte_mbuf_ext_shared_info info;
  WireLoan* loan;
  uint32_t* lent_count;
};

void end_loan(void* /*bytes*/, void* opaque) {
  const Lent* const lent = static_cast<const Lent*>(opaque);
  --lent->loan->count;
  --*lent->lent_count;
}

}  // namespace

uint16_t DpdkWire::lent_bytes() { return sizeof(Lent); }

bool DpdkWire::wants_gather() const {
  const std::vector<Device>& devices = station_->devices();
  return std::all_of(devices.begin(), devices.end(), [this](const Device& device) {
    return device.can_gather() && (forces_gather_ || device.gains_by_gather(place_.is_ipv4()));
  });
}

void DpdkWire::add_memory(std::span<const std::byte> memory) {
  if (lent_pool_ != nullptr) lent_memory_.add(memory);
}

void DpdkWire::remove_memory(std::span<const std::byte> memory) { lent_memory_.remove(memory); }

bool DpdkWire::can_gather(std::span<const std::byte> piece) const {
  return gathers_ && lent_memory_.holds(piece);
}

// Null: all buffers are with the devices.
rte_mbuf* DpdkWire::attach(std::span<const std::byte> piece, WireLoan& loan) {
  rte_mbuf* const packet = ::rte_pktmbuf_alloc(lent_pool_.get());
  if (packet == nullptr) return nullptr;
  Lent* const lent = static_cast<Lent*>(rte_mbuf_to_priv(packet));
  *lent = {.info = {}, .loan = &loan, .lent_count = &lent_count_};
  lent->info.free_cb = end_loan;
  lent->info.fcb_opaque = lent;
  rte_mbuf_ext_refcnt_set(&lent->info, 1);
  void* const bytes = const_cast<std::byte*>(piece.data());  // Devices only read what they send.
  ::rte_pktmbuf_attach_extbuf(packet, bytes, reinterpret_cast<rte_iova_t>(bytes),
                              static_cast<uint16_t>(piece.size()), &lent->info);
  packet->data_len = static_cast<uint16_t>(piece.size());
  packet->pkt_len = packet->data_len;
  ++loan.count;
  ++lent_count_;
  return packet;
}

void DpdkWire::send_gathered(const WireAddress& to, size_t bytes, std::span<const std::byte> piece,
                             WireLoan& loan) {
  rte_mbuf* const end = attach(piece, loan);
  if (end == nullptr) {
    std::memcpy(reserve().data() + bytes, piece.data(), piece.size());
    return send(to, bytes + piece.size());
  }
  rte_mbuf* const packet = buffers_[--buffer_count_];
  packet->data_len = static_cast<uint16_t>(head_bytes_ + bytes);
  packet->pkt_len = packet->data_len + end->pkt_len;
  packet->next = end;
  packet->nb_segs = 2;
  ++counters_.gathered;
  launch(packet, to);
}

void DpdkWire::reclaim() {
  if (lent_count_ == 0) return;
  for (const Lane& lane : lanes_) lane.of.device->reclaim(lane.of.queue);
}

void DpdkWire::recall() {
  adopt_thread();
  flush();
  // What the devices do not take will not leave; it is sent again if it is still wanted.
  for (Lane& lane : lanes_) {
    const auto end = std::stable_partition(lane.waiting.begin(), lane.waiting.begin() + lane.count,
                                           [](const rte_mbuf* one) { return one->nb_segs == 1; });
    const auto kept = static_cast<uint32_t>(end - lane.waiting.begin());
    ::rte_pktmbuf_free_bulk(lane.waiting.data() + kept, lane.count - kept);
    lane.count = kept;
  }
  const base::Instant give_up = base::now() + kRecallWait;
  while (lent_count_ > 0 && base::now() < give_up) reclaim();
  if (lent_count_ == 0) return;
  for (const Lane& lane : lanes_) lane.of.device->recall(lane.of.queue);
}

}  // namespace phub::transport::dpdk
