// DpdkWire: UDP packets through DPDK's devices, by polling, without the kernel.
//
// A shard's wire owns its queue of every device of its station; a worker's owns all of them, so no
// queue is shared between threads. Packets to a peer leave by the device that its packets came
// from; before it has been heard, by all.
//
// Receiving copies nothing: what receive() returns lies in the device's buffers. Sending builds the
// packet in the buffer that the device reads; its end stays where it is, in memory that was added,
// where every device can chain buffers and sum what they hold.
//
// These devices wake nobody: fd() is a timer, which lets an idle thread nap for 50 us to 1 ms.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "transport/dpdk/lent_memory.h"
#include "transport/dpdk/station.h"
#include "transport/wire.h"

namespace phub::transport::dpdk {

class DpdkWire final : public Wire {
 public:
  // As Station::join.
  static Result<std::unique_ptr<DpdkWire>> make(const config::DpdkOptions& options, uint32_t shard,
                                                uint32_t shard_count);
  ~DpdkWire() override;

  std::string_view name() const override { return "dpdk"; }
  size_t mtu() const override;
  WireAddress address() const override { return to_address(place_); }
  WireCounters counters() const override { return counters_; }
  Status prepare(const WireAddress& peer) override;
  std::span<std::byte> reserve() override;
  void send(const WireAddress& to, size_t bytes) override;
  void flush() override;
  void add_memory(std::span<const std::byte> memory) override;
  void remove_memory(std::span<const std::byte> memory) override;
  bool can_gather(std::span<const std::byte> piece) const override;
  void send_gathered(const WireAddress& to, size_t bytes, std::span<const std::byte> piece,
                     WireLoan& loan) override;
  void reclaim() override;
  void recall() override;
  size_t receive(std::span<WirePacket> packets) override;
  int fd() const override { return timer_.get(); }
  bool arm() override;
  void disarm() override;

 private:
  static constexpr size_t kBurst = 32;
  static constexpr size_t kWaitingMax = 512;  // Two windows of DatagramFabric.
  // So many refusals make a device that is stuck (no cable, no peer) and not only busy.
  static constexpr uint32_t kRefusalsMax = 1000;
  // A queue pair, and what its device has not taken yet.
  struct Lane {
    QueueOf of;
    uint32_t count = 0;
    uint32_t refusals = 0;  // Bursts in a row of which the device took nothing.
    std::array<rte_mbuf*, kWaitingMax> waiting{};
  };
  static constexpr int64_t kNapMinNs = 50'000;
  static constexpr uint32_t kUnheard = UINT32_MAX;
  struct Route {
    std::array<std::byte, 6> mac{};
    uint32_t device = kUnheard;
  };

  DpdkWire(const config::DpdkOptions& options, std::shared_ptr<Station> station, uint32_t shard,
           base::Fd timer);
  Status make_lent_pool();
  void make_lanes();
  // Sending.
  bool fill_buffers();
  bool is_busy();
  Lane& lane_to(const UdpPlace& to, uint32_t device);
  void finish(rte_mbuf* packet, const UdpPlace& to, const Device& device);
  void launch(rte_mbuf* packet, const WireAddress& to);
  void append(Lane& lane, rte_mbuf* packet);
  void drain(Lane& lane);
  void send_by_all(const UdpPlace& to, rte_mbuf* packet);
  // Gathering.
  static uint16_t lent_bytes();
  bool wants_gather() const;
  rte_mbuf* attach(std::span<const std::byte> piece, WireLoan& loan);
  // Receiving.
  size_t collect(std::span<rte_mbuf*> packets);
  bool accept(rte_mbuf* packet, WirePacket* accepted);
  bool hand_over(rte_mbuf* packet, uint32_t shard);
  void expect(const std::array<std::byte, 6>& mac);
  void learn(const std::array<std::byte, 6>& mac, uint32_t device);
  void free_held();

  std::shared_ptr<Station> station_;
  uint32_t shard_;
  UdpPlace place_;
  size_t head_bytes_;
  rte_mempool* pool_;
  rte_ring* mailbox_;
  base::Fd timer_;
  std::vector<Lane> lanes_;
  std::vector<uint32_t> lanes_of_;  // Per device: its first lane.
  size_t next_lane_ = 0;            // Where the next receive begins.

  std::vector<Route> routes_;
  UdpPlace last_to_;  // Packets come in runs: the search is done for the first of a run.
  int last_device_ = -1;
  Route last_from_;

  LentMemory lent_memory_;
  Pool lent_pool_;  // Null: nothing is gathered.
  uint32_t lent_count_ = 0;
  bool forces_gather_ = false;
  bool gathers_ = false;

  std::array<rte_mbuf*, kBurst> buffers_{};  // To be filled: [0, buffer_count_).
  size_t buffer_count_ = 0;
  std::array<rte_mbuf*, kBurst> held_{};  // Lent out by receive().
  size_t held_count_ = 0;
  std::array<rte_mbuf*, kBurst> early_{};  // Found by arm().
  size_t early_count_ = 0;
  int64_t nap_ns_ = kNapMinNs;
  const int process_;  // Who forks takes nothing of this along.
  WireCounters counters_;
};

}  // namespace phub::transport::dpdk
