#include "base/host_port.h"

#include <arpa/inet.h>

#include <charconv>

#include "base/local_address.h"
#include "base/try.h"

namespace phub::base {
namespace {

Result<HostPort> parse(std::string_view text, std::string_view forbidden) {
  const auto invalid = [](std::string message) {
    return Status(Code::invalid_argument, std::move(message));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return invalid("has no port");
  if (colon == 0) return invalid("has no host");
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return invalid("has an IPv6 address without brackets, as in [::1]:PORT");
  }
  if (host.empty() || host.size() > 255 ||
      host.find_first_of(forbidden) != std::string_view::npos) {
    return invalid("has no valid host");
  }
  const std::string_view digits = text.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), port);
  if (error != std::errc() || end != digits.end()) {
    return invalid("has a port that is not a whole number from 0 to 65535");
  }
  return HostPort{std::string(host), port};
}

}  // namespace

Result<HostPort> parse_host_port(std::string_view text) { return parse(text, " /[]@?#"); }

Result<HostPort> parse_listen_host_port(std::string_view text) {
  PHUB_TRY_ASSIGN(HostPort address, parse(text, " []@?#"));
  if (address.host.find('/') != std::string::npos && !is_block(address.host)) {
    return Status(Code::invalid_argument,
                  "has no block of addresses before the port, such as 10.1.0.0/16:7077 or "
                  "[fd00::/64]:7077");
  }
  return address;
}

std::string to_text(const HostPort& address) {
  const bool is_ipv6 = address.host.find(':') != std::string::npos;
  return (is_ipv6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

bool is_loopback(std::string_view host) {
  if (host == "localhost") return true;
  const std::string text(host);
  in_addr v4{};
  if (::inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  if (::inet_pton(AF_INET6, text.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6) != 0;
  return false;
}

}  // namespace phub::base
