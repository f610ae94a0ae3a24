#include "worker_lib/open_hubs.h"

#include <algorithm>

#include "base/clock.h"
#include "base/try.h"
#include "exchange/address.h"
#include "exchange/socket_channel.h"
#include "transport/open.h"

namespace phub::client {
namespace {

Status check_distinct(const std::vector<exchange::Address>& addresses) {
  for (size_t i = 0; i < addresses.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (to_text(addresses[i]) != to_text(addresses[j])) continue;
      return Status(Code::invalid_argument, "hub " + to_text(addresses[i]) +
                                                " is listed twice, as number " + std::to_string(j) +
                                                " and number " + std::to_string(i) +
                                                "; list each hub once");
    }
  }
  if (addresses.size() <= exchange::kHubCountMax) return {};
  return Status(Code::invalid_argument, std::to_string(addresses.size()) +
                                            " hubs are listed; a job has at most " +
                                            std::to_string(exchange::kHubCountMax));
}

// The fabric that leads to the hub: memory that hubs read in place must be of one fabric, so all
// hubs of this machine share it; a fabric over a network knows its hub's host.
Result<uint32_t> fabric_for(const exchange::Address& address, OpenedHubs& opened) {
  for (uint32_t i = 0; i < opened.fabrics.size(); ++i) {
    const transport::Fabric& fabric = *opened.fabrics[i];
    if (fabric.name() == address.fabric && fabric.traits().by_reference) return i;
  }
  transport::FabricOptions options;
  options.tcp.hub_host = address.host_port.host;
  PHUB_TRY_ASSIGN(auto fabric, transport::open_fabric(address.fabric, options));
  opened.fabrics.push_back(std::move(fabric));
  return static_cast<uint32_t>(opened.fabrics.size() - 1);
}

}  // namespace

Result<OpenedHubs> open_hubs(const WorkerOptions& options) {
  PHUB_TRY_ASSIGN(const std::vector<exchange::Address> addresses,
                  exchange::parse_addresses(options.hub));
  PHUB_TRY(check_distinct(addresses));
  const base::Instant deadline = base::now() + options.join_timeout;
  OpenedHubs opened;
  for (const exchange::Address& address : addresses) {
    PHUB_TRY_ASSIGN(const uint32_t fabric, fabric_for(address, opened));
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - base::now());
    auto channel = exchange::connect_session(address, std::max(left, std::chrono::milliseconds(1)));
    if (!channel.ok()) return channel.status().with_context("connect to hub " + to_text(address));
    opened.hubs.push_back({to_text(address), std::move(channel).value(), fabric});
  }
  return opened;
}

}  // namespace phub::client
