// Station: the devices that a process uses together, under one address, and who owns which of their
// queues. A hub's shards share one; a worker has its own.
//
//   device 0   queue 0   queue 1  ...
//   device 1   queue 0   queue 1
//                 |         |
//              shard 0   shard 1     each with its own pools; packets that a device brings to the
//                                    wrong shard go over by a ring
//
// Devices stay started when their last wire goes, for the next one: starting takes long, and
// memif's (DPDK 22.11) must not be stopped while its peer goes, too. They end with the process.
//
// Set-up only: what moves packets is dpdk_wire. join() may be called by any thread.
#pragma once

#include <phub/status.h>
#include <rte_ring.h>

#include <memory>
#include <string>
#include <vector>

#include "config/dpdk_options.h"
#include "transport/dpdk/device.h"
#include "transport/dpdk/pools.h"
#include "transport/udp_packet.h"

namespace phub::transport::dpdk {

// A queue pair of a device, in the hands of one wire.
struct QueueOf {
  const Device* device = nullptr;
  uint32_t device_index = 0;
  uint16_t queue = 0;
};

class Station {
 public:
  // Shard `shard` of `shard_count`; 0 of 0: a worker, which starts its devices when it knows how
  // many queues the hub has. already_exists: the devices are in use otherwise.
  static Result<std::shared_ptr<Station>> join(const config::DpdkOptions& options, uint32_t shard,
                                               uint32_t shard_count);
  ~Station();
  void leave(uint32_t shard);

  bool is_worker() const { return shard_count_ == 0; }
  uint32_t shard_count() const { return is_worker() ? 1 : shard_count_; }
  UdpPlace place(uint32_t shard) const;
  uint32_t mtu() const { return mtu_; }  // Of the device that carries least.
  const std::vector<Device>& devices() const { return devices_; }
  bool is_started() const {
    return std::all_of(devices_.begin(), devices_.end(),
                       [](const Device& device) { return device.queue_count() != 0; });
  }

  // Starts devices with at least as many queue pairs. invalid_argument: they have not as many, or
  // were started with fewer.
  Status start(uint32_t queue_count);
  // In the order of devices, then of queues. REQUIRES: started.
  std::vector<QueueOf> queues_of(uint32_t shard) const;
  rte_mempool* send_pool(uint32_t shard) const { return send_pools_[shard].get(); }
  // Packets for this shard that another one received. Null: a worker, or a hub of one shard.
  rte_ring* mailbox(uint32_t shard) const {
    return shard < mailboxes_.size() ? mailboxes_[shard] : nullptr;
  }

 private:
  Station() = default;
  bool is_in_use() const;
  Status build(const config::DpdkOptions& options, uint32_t shard_count);
  Status choose_address(const config::DpdkOptions& options);
  Status make_pools();
  Status make_mailboxes();

  uint32_t shard_count_ = 0;
  uint16_t udp_port_ = 0;
  uint32_t mtu_wanted_ = 0;
  uint32_t mtu_ = 0;
  std::array<std::byte, 16> ip_{};
  std::vector<Pool> receive_pools_;  // Before the devices, which receive into them.
  std::vector<Pool> send_pools_;
  std::vector<Device> devices_;
  std::vector<rte_ring*> mailboxes_;
  std::vector<bool> is_taken_;  // Per shard.
};

}  // namespace phub::transport::dpdk
