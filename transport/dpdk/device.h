// One device of DPDK's: found or attached, its limits read, set up with queue pairs, started.
#pragma once

#include <phub/status.h>
#include <rte_mempool.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

struct rte_device;

namespace phub::transport::dpdk {

class Device {
 public:
  // name: "net_memif0", "0000:3b:00.0", or what DPDK needs to make it: "net_memif0,role=client".
  // not_found: DPDK has no such device. The wanted MTU counts bytes of IP packets; 0: what
  // the device is set to, which of virtual ones is the most.
  static Result<Device> find(const std::string& name, uint32_t mtu_wanted);
  // Without those that the kernel drives, too: they must be named.
  static std::vector<std::string> all_names();

  Device(Device&& other) noexcept;
  Device& operator=(Device&&) = delete;
  ~Device();

  const std::string& name() const { return name_; }
  uint16_t port() const { return port_; }
  std::array<std::byte, 6> mac() const { return mac_; }
  uint32_t mtu() const { return mtu_; }
  // Queue i meets queue i of one peer: memif, rings. Otherwise the network decides by what the
  // packets say.
  bool is_paired() const { return is_paired_; }
  int socket() const { return socket_; }
  uint16_t queue_count_max() const { return queue_count_max_; }
  // How many to start for a hub with so many shards. Where the kernel spreads packets over all
  // queues there are, none may be left out.
  uint32_t queues_for(uint32_t shard_count) const {
    return takes_all_queues_ ? std::max<uint32_t>(shard_count, queue_count_max_) : shard_count;
  }
  uint16_t queue_count() const { return queue_count_; }  // 0: not started.
  bool can_sum_ip() const { return can_sum_ip_; }
  bool can_sum_udp() const { return can_sum_udp_; }
  // Frames may end in lent memory: segments can be chained, and lent ones come back. Known when
  // the device is started; before, true if it may turn out so.
  bool can_gather() const { return can_gather_; }
  // It pays: the device itself reads and sums the bytes. Otherwise they are read in any case.
  bool gains_by_gather(bool is_ipv4) const;
  void reclaim(uint16_t queue) const;  // Frees what has left.
  void recall(uint16_t queue) const;   // Frees also what has not. REQUIRES: can_gather().
  rte_device* bus_device() const { return bus_device_; }

  // With a queue pair per pool, which receives into it. mbufs: room for a frame of mtu().
  Status start(const std::vector<rte_mempool*>& pools);
  void stop();
  // Packets to UDP port first_port + i go to queue i, where the device can do that. unavailable: it
  // is shared with the kernel and cannot, so that nothing would come.
  Status steer(uint16_t first_port, bool is_ipv4);

  // Bytes that a pool's buffers must have.
  uint16_t buffer_bytes() const { return buffer_bytes_; }

 private:
  Device() = default;
  Status read_limits(uint32_t mtu_wanted);
  bool returns_buffers(uint16_t queue) const;

  std::string name_;
  uint16_t port_ = 0;
  int socket_ = 0;
  std::array<std::byte, 6> mac_{};
  uint32_t mtu_ = 0;
  uint16_t buffer_bytes_ = 0;
  bool is_paired_ = false;
  bool takes_all_queues_ = false;
  uint16_t queue_count_max_ = 0;
  uint16_t queue_count_ = 0;
  bool can_sum_ip_ = false;
  bool can_sum_udp_ = false;
  bool is_virtual_ = false;
  bool is_isolated_ = false;  // The kernel has it, too: only packets that are steered come.
  bool copies_ = false;       // Nothing is read after a burst has been sent.
  bool can_gather_ = false;
  rte_device* bus_device_ = nullptr;
};

}  // namespace phub::transport::dpdk
