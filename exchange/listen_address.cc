#include "exchange/listen_address.h"

#include <algorithm>

#include "base/list.h"
#include "base/try.h"

namespace phub::exchange {
namespace {

Result<Address> parse_one(std::string_view text, std::span<const base::LocalAddress> machine) {
  const size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos || text.starts_with("shm://")) {
    return parse_address(text);
  }
  const std::string scheme(text.substr(0, scheme_end + 3));
  Result<base::HostPort> place = base::parse_listen_host_port(text.substr(scheme_end + 3));
  if (!place.ok()) return parse_address(text);  // Says what is wrong with it.
  Result<std::string> host = base::choose_local_address(place->host, machine);
  if (!host.ok()) return host.status().with_context("listen on " + std::string(text));
  return parse_address(scheme + base::to_text(base::HostPort{*host, place->port}));
}

bool is_interface(std::string_view name, std::span<const base::LocalAddress> machine) {
  return std::any_of(machine.begin(), machine.end(),
                     [&](const base::LocalAddress& one) { return one.interface == name; });
}

}  // namespace

Result<std::vector<Address>> parse_listen(std::string_view text,
                                          std::span<const base::LocalAddress> machine) {
  std::vector<Address> addresses;
  for (const std::string& entry : base::split_list(text)) {
    PHUB_TRY_ASSIGN(Address address, parse_one(entry, machine));
    addresses.push_back(std::move(address));
  }
  return addresses;
}

Result<std::string> parse_advertise(std::string_view text,
                                    std::span<const base::LocalAddress> machine) {
  if (!base::is_block(text) && !is_interface(text, machine)) return std::string(text);
  Result<std::string> host = base::choose_local_address(text, machine);
  if (!host.ok()) return host.status().with_context("advertise " + std::string(text));
  return host;
}

std::vector<std::string> link_hosts(std::span<const Address> listen, std::string_view fabric) {
  std::vector<std::string> hosts;
  for (const Address& address : listen) {
    if (address.fabric != fabric) continue;
    const bool is_new =
        std::find(hosts.begin(), hosts.end(), address.host_port.host) == hosts.end();
    if (is_new) hosts.push_back(address.host_port.host);
  }
  const auto has = [&hosts](std::string_view host) {
    return std::find(hosts.begin(), hosts.end(), host) != hosts.end();
  };
  const bool takes_all = has("::");
  const bool takes_ipv4 = has("0.0.0.0");
  std::erase_if(hosts, [&](const std::string& host) {
    if (takes_all) return host != "::";
    return takes_ipv4 && host != "0.0.0.0" && host.find(':') == std::string::npos;
  });
  return hosts;
}

}  // namespace phub::exchange
