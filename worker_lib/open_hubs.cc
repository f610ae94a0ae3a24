#include "worker_lib/open_hubs.h"

#include <algorithm>

#include "base/clock.h"
#include "base/list.h"
#include "base/try.h"
#include "config/device_options.h"
#include "exchange/socket_channel.h"
#include "transport/open.h"
#include "worker_lib/choose_address.h"
#include "worker_lib/tls.h"

namespace phub::client {
namespace {

using TlsOfHub = std::shared_ptr<const transport::TlsContext>;

Status check_distinct(const std::vector<ChosenAddress>& hubs) {
  for (size_t i = 0; i < hubs.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const std::string address = exchange::to_text(hubs[i].address);
      if (exchange::to_text(hubs[j].address) != address) continue;
      return Status(Code::invalid_argument, "hub " + address + " is listed twice, as number " +
                                                std::to_string(j) + " and number " +
                                                std::to_string(i) + "; list each hub once");
    }
  }
  return {};
}

// From each entry of the list, the way to that hub.
Result<std::vector<ChosenAddress>> choose_all(const std::string& list, base::Instant deadline) {
  PHUB_TRY_ASSIGN(const std::vector<std::string> entries, split_hubs(list));
  std::vector<ChosenAddress> hubs;
  for (const std::string& entry : entries) {
    PHUB_TRY_ASSIGN(ChosenAddress hub, choose_address(entry, deadline));
    hubs.push_back(std::move(hub));
  }
  PHUB_TRY(check_distinct(hubs));
  return hubs;
}

// The fabric that leads to the hub: memory that hubs read in place must be of one fabric, so all
// hubs of this machine share it; DPDK's devices have one owner; a fabric over another network knows
// its hub's host.
Result<uint32_t> fabric_for(const exchange::Address& address, const TlsOfHub& tls,
                            const config::DeviceOptions& devices, OpenedHubs& opened) {
  for (uint32_t i = 0; i < opened.fabrics.size(); ++i) {
    const transport::Fabric& fabric = *opened.fabrics[i];
    const bool serves_all = fabric.traits().by_reference || fabric.name() == "dpdk";
    if (fabric.name() == address.fabric && serves_all) return i;
  }
  transport::FabricOptions options;
  options.tcp.hub_host = address.host_port.host;
  options.tcp.tls = tls;
  options.rdma = devices.rdma;
  options.dpdk = devices.dpdk;
  PHUB_TRY_ASSIGN(auto fabric, transport::open_fabric(address.fabric, options));
  opened.fabrics.push_back(std::move(fabric));
  return static_cast<uint32_t>(opened.fabrics.size() - 1);
}

}  // namespace

Result<std::vector<std::string>> split_hubs(std::string_view list) {
  std::vector<std::string> hubs = base::split_list(list);
  for (const std::string& hub : hubs) PHUB_TRY(check_hub_address(hub));
  if (hubs.size() <= exchange::kHubCountMax) return hubs;
  return Status(Code::invalid_argument, std::to_string(hubs.size()) +
                                            " hubs are listed; a job has at most " +
                                            std::to_string(exchange::kHubCountMax));
}

Result<OpenedHubs> open_hubs(const WorkerOptions& options) {
  const base::Instant deadline = base::now() + options.join_timeout;
  PHUB_TRY_ASSIGN(const config::DeviceOptions devices,
                  config::parse_device_options(options.network));
  PHUB_TRY_ASSIGN(const std::vector<ChosenAddress> hubs, choose_all(options.hub, deadline));
  OpenedHubs opened;
  for (const ChosenAddress& hub : hubs) {
    PHUB_TRY_ASSIGN(const TlsOfHub tls, make_tls(options, hub.address));
    PHUB_TRY_ASSIGN(const uint32_t fabric, fabric_for(hub.address, tls, devices, opened));
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - base::now());
    auto channel = exchange::connect_session(
        hub.address, std::max(left, std::chrono::milliseconds(1)), tls.get());
    if (!channel.ok()) return channel.status().with_context("connect to hub " + hub.to_text());
    opened.hubs.push_back({exchange::to_text(hub.address), std::move(channel).value(), fabric});
    opened.text += (opened.text.empty() ? "" : ", ") + hub.to_text();
  }
  return opened;
}

}  // namespace phub::client
