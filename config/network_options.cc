#include "config/network_options.h"

#include <string>

#include "base/local_address.h"
#include "config/quantity.h"

namespace phub::config {
namespace {

Status invalid(std::string message) { return Status(Code::invalid_argument, std::move(message)); }

}  // namespace

Status apply_advertise(std::string_view value, const Machine&, HubConfig& config) {
  std::string_view host = value;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const bool is_text = !host.empty() && host.size() <= 255 &&
                       host.find_first_of(" []@?#,") == std::string_view::npos;
  // An IPv6 address has several colons; one colon is a port that nobody asked for.
  const size_t colon = host.find(':');
  const bool has_port = colon != std::string_view::npos && host.find(':', colon + 1) == host.npos;
  const bool has_slash = host.find('/') != std::string_view::npos;
  if (!is_text || has_port || (has_slash && !base::is_block(host))) {
    return invalid(
        " is no host, interface or block of addresses; want for example 10.1.0.7, hub.rack8, eth1 "
        "or 10.1.0.0/16, without a port");
  }
  if (base::is_wildcard(host)) {
    return invalid(
        " is an address that nobody can connect to; name one of this machine's, or leave "
        "the option out: workers then use the address by which they reached the hub");
  }
  config.advertise = host;
  return Status();
}

Status apply_port_range(std::string_view value, const Machine&, HubConfig& config) {
  const size_t dash = value.find('-');
  const Result<uint64_t> first = parse_number(value.substr(0, dash), 1, 65'535);
  const Result<uint64_t> last =
      dash == std::string_view::npos ? first : parse_number(value.substr(dash + 1), 1, 65'535);
  if (!first.ok() || !last.ok() || *last < *first) {
    return invalid(" is no range of ports; want FIRST-LAST from 1 to 65535, for example 7100-7163");
  }
  config.port_first = static_cast<uint16_t>(*first);
  config.port_last = static_cast<uint16_t>(*last);
  return Status();
}

Status apply_tcp_streams(std::string_view value, const Machine&, HubConfig& config) {
  const Result<uint64_t> count = parse_number(value, 1, 16);
  if (!count.ok()) return invalid(" " + count.status().message());
  config.tcp_streams = static_cast<uint32_t>(*count);
  return Status();
}

}  // namespace phub::config
