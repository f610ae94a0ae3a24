#include "transport/dpdk/device.h"

#include <net/if.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_flow.h>
#include <rte_mbuf.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/fd.h"
#include "transport/dpdk/eal.h"
#include "transport/udp_packet.h"

namespace phub::transport::dpdk {
namespace {

constexpr uint16_t kDescriptors = 1024;
constexpr uint32_t kMtuMin = 576;
constexpr uint32_t kRingMtu = 9000;
constexpr uint32_t kMtuMax = 65'000;  // Of an IP packet, and of a buffer with its head.

Status device_error(const std::string& name, const std::string& what, int error) {
  return Status(Code::failed_precondition, "dpdk device " + name + ": " + what + ": " +
                                               std::strerror(error < 0 ? -error : error) +
                                               "; DPDK says:\n" + eal_says());
}

// From the value of `key` on, in the arguments that made a virtual device; empty: not given.
std::string argument_text(const rte_eth_dev_info& info, const std::string& key) {
  const rte_devargs* const given = ::rte_dev_devargs(info.device);
  if (given == nullptr || given->args == nullptr) return "";
  const std::string text = std::string(",") + given->args;
  const size_t at = text.find("," + key + "=");
  return at == std::string::npos ? "" : text.substr(at + key.size() + 2);
}
uint32_t argument_of(const rte_eth_dev_info& info, const std::string& key, uint32_t otherwise) {
  const std::string text = argument_text(info, key);
  if (text.empty()) return otherwise;
  return static_cast<uint32_t>(std::strtoul(text.c_str(), nullptr, 0));
}

// Of the calling thread's network; 0: not known.
uint32_t interface_mtu(unsigned index) {
  ifreq request{};
  if (::if_indextoname(index, request.ifr_name) == nullptr) return 0;
  const base::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (::ioctl(socket.get(), SIOCGIFMTU, &request) != 0) return 0;
  return static_cast<uint32_t>(request.ifr_mtu);
}

constexpr uint32_t kPacketFrame = 2048;  // Of af_packet, when nothing else is asked for.
// Its frames hold the kernel's own head, too.
constexpr uint32_t kPacketFrameHead = 66;

bool is_mtu_fixed(std::string_view driver) {
  return driver == "net_memif" || driver == "net_ring" || driver == "net_af_packet";
}

// The most that the device carries. Virtual devices of this DPDK say 1500 whatever they carry, so
// their limits come from what they were made with.
uint32_t mtu_of(const rte_eth_dev_info& info, std::string_view driver) {
  if (driver == "net_ring") return kRingMtu;
  // memif chains its buffers for longer frames, but miscounts them when its ring is nearly full
  // (DPDK 22.11): frames of one buffer only. The client's size counts; both ends must be told it.
  if (driver == "net_memif") return argument_of(info, "bsize", 2048) - kEthernetBytes;
  if (driver == "net_af_packet") {
    const uint32_t frame =
        argument_of(info, "framesz", kPacketFrame) - kPacketFrameHead - kEthernetBytes;
    const uint32_t kernel = interface_mtu(info.if_index);
    return kernel == 0 ? frame : std::min(frame, kernel);
  }
  return std::min<uint32_t>(info.max_mtu, kMtuMax);
}

// What is used when no MTU is wanted. A NIC carries longer packets than the network behind it:
// what it is set to, or the kernel's interface to it, is what somebody answers for.
uint32_t default_mtu(uint16_t port, const rte_eth_dev_info& info, std::string_view driver) {
  const uint32_t most = mtu_of(info, driver);
  if (is_mtu_fixed(driver)) return std::min(most, kMtuMax);
  uint16_t set = 0;
  const uint32_t now = ::rte_eth_dev_get_mtu(port, &set) == 0 && set != 0 ? set : 1500;
  const uint32_t kernel = info.if_index == 0 ? 0 : interface_mtu(info.if_index);
  return std::min(most, kernel == 0 ? now : std::min(now, kernel));
}

// The kernel has the same device at the same time (NVIDIA's drivers): without isolation DPDK would
// take the whole machine's packets.
bool is_shared_with_kernel(const rte_eth_dev_info& info) {
  const std::string_view driver = info.driver_name;
  return info.if_index != 0 && !driver.starts_with("net_");
}

// Real ports come up after seconds; packets sent before are lost.
Status wait_for_link(uint16_t port, const std::string& name) {
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    rte_eth_link link{};
    if (::rte_eth_link_get_nowait(port, &link) != 0 || link.link_status == RTE_ETH_LINK_UP) {
      return {};
    }
    ::rte_delay_us_sleep(100'000);
  }
  return Status(Code::unavailable,
                "dpdk device " + name + ": its link is down for 10 s; check cable and switch port");
}

std::string limit_hint(std::string_view driver) {
  if (driver == "net_memif") return "; make it with a larger bsize, at both ends";
  if (driver == "net_af_packet") return " (framesz of the device, and the MTU of its interface)";
  return "";
}

// What a buffer must hold; af_packet wants room for its whole frames.
uint16_t buffer_bytes_of(const rte_eth_dev_info& info, std::string_view driver, uint32_t mtu) {
  size_t bytes = kEthernetBytes + 8 + mtu;
  if (driver == "net_af_packet") {
    bytes = std::max<size_t>(bytes, argument_of(info, "framesz", kPacketFrame));
  }
  bytes = RTE_ALIGN_CEIL(bytes + RTE_PKTMBUF_HEADROOM, 64);
  return static_cast<uint16_t>(std::clamp<size_t>(bytes, 2048, UINT16_MAX));
}

// What they send is copied, and their buffers are free, when rte_eth_tx_burst returns.
bool copies_frames(const rte_eth_dev_info& info, std::string_view driver) {
  if (driver == "net_memif") return argument_text(info, "zero-copy").substr(0, 3) != "yes";
  return driver == "net_af_packet";
}

}  // namespace

std::vector<std::string> Device::all_names() {
  std::vector<std::string> names;
  uint16_t port = 0;
  RTE_ETH_FOREACH_DEV(port) {
    rte_eth_dev_info info{};
    // Of those only the ones that somebody names: the machine may hang on them.
    if (::rte_eth_dev_info_get(port, &info) != 0 || is_shared_with_kernel(info)) continue;
    std::array<char, RTE_ETH_NAME_MAX_LEN> name{};
    if (::rte_eth_dev_get_name_by_port(port, name.data()) == 0) names.emplace_back(name.data());
  }
  return names;
}

Result<Device> Device::find(const std::string& name, uint32_t mtu_wanted) {
  Device device;
  device.name_ = name.substr(0, name.find(','));
  if (::rte_eth_dev_get_port_by_name(device.name_.c_str(), &device.port_) != 0) {
    const int error = ::rte_dev_probe(name.c_str());
    if (error != 0 || ::rte_eth_dev_get_port_by_name(device.name_.c_str(), &device.port_) != 0) {
      std::string known;
      for (const std::string& one : all_names()) known += (known.empty() ? "" : ", ") + one;
      return Status(Code::not_found, "dpdk device " + device.name_ + " is not there; DPDK has " +
                                         (known.empty() ? "none" : known) +
                                         "; a NIC must be bound to vfio-pci (dpdk-devbind.py), a "
                                         "virtual device made by --vdev; DPDK says:\n" +
                                         eal_says());
    }
  }
  Status status = device.read_limits(mtu_wanted);
  if (!status.ok()) return status;
  return device;
}

Device::Device(Device&& other) noexcept
    : name_(std::move(other.name_)),
      port_(other.port_),
      socket_(other.socket_),
      mac_(other.mac_),
      mtu_(other.mtu_),
      buffer_bytes_(other.buffer_bytes_),
      is_paired_(other.is_paired_),
      takes_all_queues_(other.takes_all_queues_),
      queue_count_max_(other.queue_count_max_),
      queue_count_(std::exchange(other.queue_count_, 0)),
      can_sum_ip_(other.can_sum_ip_),
      can_sum_udp_(other.can_sum_udp_),
      is_virtual_(other.is_virtual_),
      is_isolated_(other.is_isolated_),
      copies_(other.copies_),
      can_gather_(other.can_gather_),
      bus_device_(other.bus_device_) {}

Device::~Device() { stop(); }

Status Device::read_limits(uint32_t mtu_wanted) {
  rte_eth_dev_info info{};
  const int error = ::rte_eth_dev_info_get(port_, &info);
  if (error != 0) return device_error(name_, "cannot be asked for its limits", error);
  const std::string_view driver = info.driver_name;
  socket_ = std::max(0, ::rte_eth_dev_socket_id(port_));
  is_paired_ = driver == "net_memif" || driver == "net_ring";
  is_virtual_ = driver.starts_with("net_");
  is_isolated_ = is_shared_with_kernel(info);
  takes_all_queues_ = driver == "net_af_packet";
  queue_count_max_ = std::min(info.max_rx_queues, info.max_tx_queues);
  can_sum_ip_ = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
  can_sum_udp_ = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0;
  bus_device_ = info.device;
  copies_ = copies_frames(info, driver);
  // Rings hand the buffers themselves to the peer, who may keep them as long as he likes.
  can_gather_ = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0 &&
                driver != "net_ring" &&
                (copies_ || (can_sum_udp_ && ::rte_eal_iova_mode() == RTE_IOVA_VA));
  rte_ether_addr mac{};
  ::rte_eth_macaddr_get(port_, &mac);
  // Rings have no address; any that is nobody else's does.
  if (::rte_is_zero_ether_addr(&mac)) ::rte_eth_random_addr(mac.addr_bytes);
  std::memcpy(mac_.data(), mac.addr_bytes, mac_.size());
  const uint32_t most = mtu_of(info, driver);
  mtu_ = mtu_wanted != 0 ? mtu_wanted : default_mtu(port_, info, driver);
  buffer_bytes_ = buffer_bytes_of(info, driver, mtu_);
  const uint32_t limit = driver == "net_ring" ? kMtuMax : std::min(most, kMtuMax);
  if (mtu_ >= kMtuMin && mtu_ <= limit) return {};
  return Status(Code::invalid_argument,
                "dpdk device " + name_ + ": an MTU of " + std::to_string(mtu_) +
                    " is not possible; it carries " + std::to_string(kMtuMin) + " to " +
                    std::to_string(limit) + " bytes of an IP packet" + limit_hint(driver));
}

Status Device::start(const std::vector<rte_mempool*>& pools) {
  rte_eth_dev_info info{};
  ::rte_eth_dev_info_get(port_, &info);
  const auto queues = static_cast<uint16_t>(pools.size());
  rte_eth_conf conf{};
  if (!is_mtu_fixed(info.driver_name)) conf.rxmode.mtu = mtu_;
  constexpr uint64_t kReceiveSums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
  conf.rxmode.offloads = info.rx_offload_capa & kReceiveSums;
  conf.txmode.offloads =
      info.tx_offload_capa & (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
  if (can_gather_) conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  const uint64_t spread =
      info.flow_type_rss_offloads & (RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP);
  if (queues > 1 && !is_paired_ && spread != 0) {  // Where flows cannot be steered one by one.
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = spread;
  }
  int error = 0;
  if (is_isolated_) {
    rte_flow_error why{};
    error = ::rte_flow_isolate(port_, 1, &why);
    if (error != 0) return device_error(name_, "cannot be shared with the kernel", error);
  }
  error = ::rte_eth_dev_configure(port_, queues, queues, &conf);
  if (error != 0) {
    return device_error(name_, "refuses " + std::to_string(queues) + " queue pairs", error);
  }
  uint16_t receive = kDescriptors, send = kDescriptors;
  ::rte_eth_dev_adjust_nb_rx_tx_desc(port_, &receive, &send);
  for (uint16_t i = 0; i < queues; ++i) {
    error = ::rte_eth_rx_queue_setup(port_, i, receive, static_cast<unsigned>(socket_), nullptr,
                                     pools[i]);
    if (error == 0) {
      error = ::rte_eth_tx_queue_setup(port_, i, send, static_cast<unsigned>(socket_), nullptr);
    }
    if (error != 0) {
      return device_error(name_, "cannot set up queue pair " + std::to_string(i), error);
    }
  }
  error = ::rte_eth_dev_start(port_);
  if (error != 0) return device_error(name_, "does not start", error);
  queue_count_ = queues;
  for (uint16_t i = 0; i < queues; ++i) can_gather_ = can_gather_ && returns_buffers(i);
  return is_virtual_ ? Status() : wait_for_link(port_, name_);
}

// Drivers free what has left when more is sent, which may be never. Those that lent memory goes to
// can be told to, and stop a queue whose cable is out: tried here, since no flag says so.
bool Device::returns_buffers(uint16_t queue) const {
  return copies_ || (::rte_eth_tx_done_cleanup(port_, queue, 0) >= 0 &&
                     ::rte_eth_dev_tx_queue_stop(port_, queue) == 0 &&
                     ::rte_eth_dev_tx_queue_start(port_, queue) == 0);
}

bool Device::gains_by_gather(bool is_ipv4) const {
  return !copies_ && can_sum_udp_ && (can_sum_ip_ || !is_ipv4);
}

void Device::reclaim(uint16_t queue) const {
  if (!copies_) ::rte_eth_tx_done_cleanup(port_, queue, 0);
}

void Device::recall(uint16_t queue) const {
  if (copies_) return;
  ::rte_eth_dev_tx_queue_stop(port_, queue);
  ::rte_eth_dev_tx_queue_start(port_, queue);
}

void Device::stop() {
  if (queue_count_ != 0) ::rte_eth_dev_stop(port_);
  queue_count_ = 0;
}

Status Device::steer(uint16_t first_port, bool is_ipv4) {
  if (queue_count_ < 2 && !is_isolated_) return {};
  for (uint16_t queue = 0; queue < queue_count_; ++queue) {
    rte_flow_attr attribute{};
    attribute.ingress = 1;
    rte_flow_item_udp udp{}, mask{};
    udp.hdr.dst_port = rte_cpu_to_be_16(static_cast<uint16_t>(first_port + queue));
    mask.hdr.dst_port = UINT16_MAX;
    const std::array<rte_flow_item, 4> pattern = {
        {{RTE_FLOW_ITEM_TYPE_ETH, nullptr, nullptr, nullptr},
         {is_ipv4 ? RTE_FLOW_ITEM_TYPE_IPV4 : RTE_FLOW_ITEM_TYPE_IPV6, nullptr, nullptr, nullptr},
         {RTE_FLOW_ITEM_TYPE_UDP, &udp, nullptr, &mask},
         {RTE_FLOW_ITEM_TYPE_END, nullptr, nullptr, nullptr}}};
    const rte_flow_action_queue to{queue};
    const std::array<rte_flow_action, 2> actions = {
        {{RTE_FLOW_ACTION_TYPE_QUEUE, &to}, {RTE_FLOW_ACTION_TYPE_END, nullptr}}};
    rte_flow_error error{};
    if (::rte_flow_create(port_, &attribute, pattern.data(), actions.data(), &error) != nullptr) {
      continue;
    }
    // Elsewhere the packets of other shards are handed over in software.
    if (!is_isolated_) return {};
    return Status(Code::unavailable,
                  "dpdk device " + name_ + ": cannot steer UDP port " +
                      std::to_string(first_port + queue) + " past the kernel: " +
                      (error.message != nullptr ? error.message : ::rte_strerror(rte_errno)));
  }
  return {};
}

}  // namespace phub::transport::dpdk
