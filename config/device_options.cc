#include "config/device_options.h"

#include <algorithm>
#include <array>
#include <sstream>
#include <vector>

#include "base/list.h"
#include "base/local_address.h"
#include "base/try.h"
#include "config/quantity.h"

namespace phub::config {
namespace {

constexpr size_t kDevicesMax = 64;

Status invalid(std::string message) { return Status(Code::invalid_argument, std::move(message)); }

template <typename T>
Status set_number(std::string_view value, uint64_t minimum, uint64_t maximum, T& field) {
  const Result<uint64_t> number = parse_number(value, minimum, maximum);
  if (!number.ok()) return invalid(" " + number.status().message());
  field = static_cast<T>(*number);
  return {};
}

bool is_device_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == ':';
  });
}

// Each once, of names that `check` lets pass.
Status set_list(std::string_view value, const std::string& want, bool (*check)(std::string_view),
                std::vector<std::string>& field) {
  std::vector<std::string> entries = base::split_list(value);
  if (entries.size() > kDevicesMax) {
    return invalid(" has " + std::to_string(entries.size()) + " entries; give at most " +
                   std::to_string(kDevicesMax));
  }
  for (auto entry = entries.begin(); entry != entries.end(); ++entry) {
    if (!check(*entry)) return invalid(" has the entry \"" + *entry + "\"; want " + want);
    if (std::find(entries.begin(), entry, *entry) != entry) {
      return invalid(" names " + *entry + " twice; name each once");
    }
  }
  field = std::move(entries);
  return {};
}

bool is_rdma_port(std::string_view entry) {
  const size_t colon = entry.find(':');
  if (colon == std::string_view::npos) return is_device_name(entry);
  return is_device_name(entry.substr(0, colon)) &&
         parse_number(entry.substr(colon + 1), 1, 255).ok();
}

bool is_plain_address(std::string_view entry) {
  return base::is_block(std::string(entry) + (entry.find(':') == entry.npos ? "/32" : "/128"));
}

Status apply_rdma_devices(std::string_view value, DeviceOptions& options) {
  return set_list(value, "the name of an RDMA device, perhaps with a port: mlx5_0, mlx5_0:2",
                  is_rdma_port, options.rdma.devices);
}

Status apply_rdma_gid(std::string_view value, DeviceOptions& options) {
  if (!base::is_block(value) && !parse_number(value, 0, 255).ok()) {
    return invalid(
        " is neither auto, nor an index from 0 to 255, nor a block of addresses such as "
        "10.1.0.0/16 or fd00::/8; phubctl doctor lists a port's GIDs with their indexes");
  }
  options.rdma.gid = value;
  return {};
}

Status apply_rdma_mtu(std::string_view value, DeviceOptions& options) {
  for (const uint32_t mtu : {256u, 512u, 1024u, 2048u, 4096u}) {
    if (value != std::to_string(mtu)) continue;
    options.rdma.mtu = mtu;
    return {};
  }
  return invalid(" is no MTU of RDMA; want 256, 512, 1024, 2048, 4096, or port");
}

Status apply_traffic_class(std::string_view value, DeviceOptions& options) {
  return set_number(value, 0, 255, options.rdma.traffic_class);
}
Status apply_service_level(std::string_view value, DeviceOptions& options) {
  return set_number(value, 0, 15, options.rdma.service_level);
}
Status apply_pkey_index(std::string_view value, DeviceOptions& options) {
  return set_number(value, 0, 65'535, options.rdma.pkey_index);
}
// 0 means to wait for ever: nobody would notice a dead peer.
Status apply_timeout(std::string_view value, DeviceOptions& options) {
  return set_number(value, 1, 31, options.rdma.timeout);
}
Status apply_retries(std::string_view value, DeviceOptions& options) {
  return set_number(value, 1, 7, options.rdma.retries);
}
Status apply_queue_depth(std::string_view value, DeviceOptions& options) {
  return set_number(value, 16, 32'768, options.rdma.queue_depth);
}
Status apply_queue_pairs(std::string_view value, DeviceOptions& options) {
  return set_number(value, 1, 16, options.rdma.queue_pairs);
}

Status apply_eal(std::string_view value, DeviceOptions& options) {
  std::istringstream words{std::string(value)};
  std::vector<std::string> arguments;
  for (std::string word; words >> word;) arguments.push_back(std::move(word));
  if (arguments.empty()) return invalid(" has no argument; want for example --no-huge, or none");
  if (!arguments.front().starts_with('-')) {
    return invalid(
        " does not begin with an option; want what DPDK's programs take, without the "
        "program's name: \"--no-huge --vdev=net_memif0\"");
  }
  options.dpdk.eal = std::move(arguments);
  return {};
}

Status apply_dpdk_devices(std::string_view value, DeviceOptions& options) {
  return set_list(value, "the name of a DPDK device: net_memif0, 0000:3b:00.0", is_device_name,
                  options.dpdk.devices);
}

Status apply_dpdk_addresses(std::string_view value, DeviceOptions& options) {
  return set_list(value, "an IPv4 or IPv6 address", is_plain_address, options.dpdk.addresses);
}

Status apply_udp_port(std::string_view value, DeviceOptions& options) {
  return set_number(value, 1, 65'535, options.dpdk.udp_port);
}

Status apply_dpdk_mtu(std::string_view value, DeviceOptions& options) {
  return set_number(value, 1280, 65'535, options.dpdk.mtu);
}

constexpr std::array kOptions{
    DeviceOption{
        "rdma_devices", "LIST",
        "verbs: RDMA devices to use, in order of preference, such as mlx5_0,mlx5_1:2; all: "
        "every one whose port 1 is active",
        "all", apply_rdma_devices},
    DeviceOption{"rdma_gid", "auto|INDEX|BLOCK",
                 "verbs: which address of a RoCE port; auto: RoCE v2 before v1, IPv4 before IPv6",
                 "auto", apply_rdma_gid},
    DeviceOption{"rdma_mtu", "BYTES", "verbs: 256 to 4096; port: the port's active one", "port",
                 apply_rdma_mtu},
    DeviceOption{"rdma_traffic_class", "N",
                 "verbs: traffic class of the IP header, DSCP x 4 (RoCE)", "0",
                 apply_traffic_class},
    DeviceOption{"rdma_service_level", "N", "verbs: service level, 0 to 15", "0",
                 apply_service_level},
    DeviceOption{"rdma_pkey_index", "N", "verbs: index of the partition key", "0",
                 apply_pkey_index},
    DeviceOption{"rdma_timeout", "N",
                 "verbs: 4.096 us x 2^N without an acknowledgement are one try; 14: 67 ms", "14",
                 apply_timeout},
    DeviceOption{"rdma_retries", "N", "verbs: tries before a queue pair fails, 1 to 7", "6",
                 apply_retries},
    DeviceOption{"rdma_queue_depth", "N", "verbs: work requests of a queue pair and direction",
                 "256", apply_queue_depth},
    DeviceOption{"rdma_queue_pairs", "N", "verbs: queue pairs of a link on each NIC", "1",
                 apply_queue_pairs},
    DeviceOption{"dpdk_eal", "ARGUMENTS",
                 "dpdk: arguments of DPDK itself, with spaces between: --no-huge "
                 "--vdev=net_memif0,role=server",
                 "none", apply_eal},
    DeviceOption{"dpdk_devices", "LIST",
                 "dpdk: devices to use, such as net_memif0,0000:3b:00.0; all: what DPDK finds",
                 "all", apply_dpdk_devices},
    DeviceOption{
        "dpdk_addresses", "LIST",
        "dpdk: one IP address for all devices, none of the kernel's; mac: fe80::/64 and the MAC",
        "mac", apply_dpdk_addresses},
    DeviceOption{"dpdk_udp_port", "N", "dpdk: queue i of a device receives at UDP port N + i",
                 "7171", apply_udp_port},
    DeviceOption{
        "dpdk_mtu", "BYTES",
        "dpdk: bytes of an IP packet; device: what the device is set to, of memif its bsize",
        "device", apply_dpdk_mtu},
};

}  // namespace

std::span<const DeviceOption> device_options() { return kOptions; }

const DeviceOption* find_device_option(std::string_view name) {
  for (const DeviceOption& option : kOptions) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

std::string worker_variable(const DeviceOption& option) {
  std::string variable = "PHUB_";
  for (const char c : option.name) {
    variable += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return variable;
}

Result<DeviceOptions> parse_device_options(const std::map<std::string, std::string>& texts) {
  DeviceOptions options;
  for (const auto& [name, text] : texts) {
    const DeviceOption* const option = find_device_option(name);
    if (option == nullptr) {
      std::string names;
      for (const DeviceOption& one : kOptions) {
        names += (names.empty() ? "" : ", ") + std::string(one.name);
      }
      return invalid("network option \"" + name + "\" is unknown; there are " + names);
    }
    if (text == option->fallback) continue;
    const Status status = option->apply(text, options);
    if (!status.ok()) return invalid("network option " + name + " = " + text + status.message());
  }
  PHUB_TRY(check_device_options(options));
  return options;
}

Status check_device_options(const DeviceOptions& options) {
  // Peers are told one address, before it is known by which device they will be reached.
  if (const size_t count = options.dpdk.addresses.size(); count > 1) {
    return invalid("dpdk_addresses has " + std::to_string(count) +
                   " entries, but all DPDK devices of a process are reached at one address; "
                   "give one");
  }
  return {};
}

}  // namespace phub::config
