#include "transport/verbs_device.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/fd.h"
#include "base/try.h"

namespace phub::transport {
namespace {

class DeviceList {
 public:
  DeviceList() : list_(verbs().get_device_list(&count_)) {
    if (list_ == nullptr) count_ = 0;
  }
  ~DeviceList() {
    if (list_ != nullptr) verbs().free_device_list(list_);
  }
  DeviceList(const DeviceList&) = delete;
  DeviceList& operator=(const DeviceList&) = delete;
  std::span<ibv_device* const> devices() const { return {list_, static_cast<size_t>(count_)}; }

 private:
  int count_ = 0;
  ibv_device** list_;
};

constexpr const char* kNoDevices =
    "this machine has no RDMA device; load its driver (for soft-RoCE: rdma link add rxe0 type rxe "
    "netdev eth0) and look with `rdma link`";

constexpr const char* kOtherTransport =
    "is neither InfiniBand nor RoCE (iWARP, EFA and usNIC cannot do what this needs)";

struct NameAndPort {
  std::string device;
  uint8_t port = 1;
};

Result<NameAndPort> split(const std::string& name) {
  const size_t colon = name.find(':');
  NameAndPort parts{name.substr(0, colon), 1};
  if (colon == std::string::npos) return parts;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + colon + 1, end, parts.port);
  if (error != std::errc() || stop != end || parts.port == 0) {
    return Status(Code::invalid_argument, "RDMA device \"" + name +
                                              "\": behind the colon stands the port, 1 or more, as "
                                              "in mlx5_0:1");
  }
  return parts;
}

std::string state_text(ibv_port_state state) {
  switch (state) {
    case IBV_PORT_ACTIVE:
      return "active";
    case IBV_PORT_DOWN:
      return "down: is the cable in, and is its network interface up?";
    case IBV_PORT_INIT:
      return "initializing: is a subnet manager running?";
    case IBV_PORT_ARMED:
      return "armed: the subnet manager has not finished";
    default:
      return "in state " + std::to_string(state);
  }
}

Result<ibv_port_attr> query(ibv_context* context, uint8_t port) {
  ibv_port_attr attributes = {};
  const int error = verbs().query_port(context, port, &attributes);
  if (error == 0) return attributes;
  errno = error;
  return Status(Code::not_found, "port " + std::to_string(port) + ": " + base::errno_text());
}

Result<VerbsPtr<ibv_context>> open_named(const std::string& name) {
  const DeviceList list;
  std::string names;
  for (ibv_device* const device : list.devices()) {
    const std::string found = verbs().get_device_name(device);
    names += (names.empty() ? "" : ", ") + found;
    if (found != name) continue;
    if (!has_infiniband_transport(*device)) return Status(Code::not_found, kOtherTransport);
    VerbsPtr<ibv_context> context(verbs().open_device(device));
    if (context != nullptr) return context;
    return Status(Code::permission_denied,
                  base::errno_text() +
                      "; /dev/infiniband/uverbs* must be readable and writable for this user");
  }
  return Status(Code::not_found, names.empty() ? kNoDevices : "no such device; there are " + names);
}

}  // namespace

bool has_infiniband_transport(const ibv_device& device) {
  return device.transport_type == IBV_TRANSPORT_IB && device.node_type == IBV_NODE_CA;
}

uint32_t bytes_of_mtu(ibv_mtu mtu) {
  return mtu >= IBV_MTU_256 && mtu <= IBV_MTU_4096 ? 128u << static_cast<uint32_t>(mtu) : 0;
}

ibv_mtu mtu_of_bytes(uint32_t bytes) {
  uint32_t mtu = IBV_MTU_256;
  while (mtu < IBV_MTU_4096 && (256u << mtu) <= bytes) ++mtu;
  return static_cast<ibv_mtu>(mtu);
}

Status refresh_port(VerbsDevice& device, const config::RdmaOptions& options) {
  const std::string context = "RDMA device " + device.name;
  auto attributes = query(device.context.get(), device.port);
  if (!attributes.ok()) return attributes.status().with_context(context);
  if (attributes->state != IBV_PORT_ACTIVE) {
    return Status(Code::unavailable, context + ": its port is " + state_text(attributes->state));
  }
  device.is_infiniband = attributes->link_layer == IBV_LINK_LAYER_INFINIBAND;
  device.lid = attributes->lid;
  device.needs_global_path = (attributes->flags & IBV_QPF_GRH_REQUIRED) != 0;
  device.mtu = bytes_of_mtu(attributes->active_mtu);
  if (options.mtu != 0) {
    device.mtu = std::min(device.mtu, bytes_of_mtu(mtu_of_bytes(options.mtu)));
  }
  auto gid = choose_gid(read_gid_table(device.port_path), options.gid, device.is_infiniband);
  if (!gid.ok()) return gid.status().with_context(context);
  device.gid = std::move(gid).value();
  return {};
}

Result<VerbsDevice> open_verbs_device(const std::string& name, const config::RdmaOptions& options) {
  PHUB_TRY_ASSIGN(const NameAndPort parts, split(name));
  VerbsDevice device;
  device.name = name;
  device.port = parts.port;
  auto context = open_named(parts.device);
  if (!context.ok()) return context.status().with_context("RDMA device " + name);
  device.context = std::move(context).value();
  device.port_path =
      std::string(device.context->device->ibdev_path) + "/ports/" + std::to_string(parts.port);
  if (const int error = verbs().query_device(device.context.get(), &device.limits); error != 0) {
    errno = error;
    return Status(Code::unavailable, "RDMA device " + name + ": query: " + base::errno_text());
  }
  device.has_windows = (device.limits.device_cap_flags & IBV_DEVICE_MEM_WINDOW_TYPE_2B) != 0;
  PHUB_TRY(refresh_port(device, options));
  return device;
}

Result<std::vector<std::string>> choose_verbs_devices(const config::RdmaOptions& options) {
  if (!options.devices.empty()) return options.devices;
  const DeviceList list;
  std::vector<std::string> chosen;
  std::string others;
  for (ibv_device* const device : list.devices()) {
    const std::string name = verbs().get_device_name(device);
    if (!has_infiniband_transport(*device)) {
      others += (others.empty() ? "" : ", ") + name + " " + kOtherTransport;
      continue;
    }
    const VerbsPtr<ibv_context> context(verbs().open_device(device));
    std::string state = "cannot be opened (" + base::errno_text() + ")";
    if (context != nullptr) {
      const auto attributes = query(context.get(), 1);
      if (attributes.ok() && attributes->state == IBV_PORT_ACTIVE) {
        chosen.push_back(name);
        continue;
      }
      state =
          attributes.ok() ? "is " + state_text(attributes->state) : attributes.status().message();
    }
    others += (others.empty() ? "" : ", ") + name + " " + state;
  }
  if (!chosen.empty()) return chosen;
  return Status(Code::not_found,
                others.empty() ? kNoDevices : "no RDMA device has an active port 1: " + others);
}

}  // namespace phub::transport
