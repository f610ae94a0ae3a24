#include "base/local_address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include "base/host_port.h"
#include "base/try.h"

namespace phub::base {
namespace {

// An address without its scope, as bytes: 4 or 16.
struct Bytes {
  std::array<unsigned char, 16> bytes = {};
  size_t count = 0;

  bool operator==(const Bytes&) const = default;
};

std::optional<Bytes> parse_bytes(std::string_view host) {
  const std::string text(host.substr(0, host.find('%')));
  Bytes address;
  if (::inet_pton(AF_INET, text.c_str(), address.bytes.data()) == 1) {
    address.count = 4;
  } else if (::inet_pton(AF_INET6, text.c_str(), address.bytes.data()) == 1) {
    address.count = 16;
    in6_addr v6{};
    std::memcpy(&v6, address.bytes.data(), sizeof(v6));
    if (IN6_IS_ADDR_V4MAPPED(&v6)) {  // How an IPv6 socket sees an IPv4 peer.
      Bytes v4;
      v4.count = 4;
      std::memcpy(v4.bytes.data(), address.bytes.data() + 12, 4);
      return v4;
    }
  } else {
    return std::nullopt;
  }
  return address;
}

struct Block {
  Bytes address;
  size_t prefix_bits = 0;

  bool has(const Bytes& other) const {
    if (other.count != address.count) return false;
    for (size_t bit = 0; bit < prefix_bits; ++bit) {
      const unsigned difference = address.bytes[bit / 8] ^ other.bytes[bit / 8];
      if (((difference >> (7 - bit % 8)) & 1) != 0) return false;
    }
    return true;
  }
};

std::optional<Block> parse_block(std::string_view name) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::optional<Bytes> address = parse_bytes(name.substr(0, slash));
  const std::string_view digits = name.substr(slash + 1);
  size_t bits = 0;
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), bits);
  if (!address || error != std::errc() || end != digits.end() || bits > address->count * 8) {
    return std::nullopt;
  }
  return Block{*address, bits};
}

bool is_ipv4(const std::string& host) { return host.find(':') == std::string::npos; }
bool is_link_local(const std::string& host) { return host.find('%') != std::string::npos; }

std::string numeric_host(const sockaddr* address, socklen_t bytes) {
  std::array<char, NI_MAXHOST> host{};
  const int error =
      ::getnameinfo(address, bytes, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST);
  return error == 0 ? host.data() : "";
}

std::vector<std::string> resolve_name(const std::string& name) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(name.c_str(), nullptr, &hints, &found) != 0) return {};
  std::vector<std::string> hosts;
  for (const addrinfo* item = found; item != nullptr; item = item->ai_next) {
    hosts.push_back(numeric_host(item->ai_addr, item->ai_addrlen));
  }
  ::freeaddrinfo(found);
  return hosts;
}

Status invalid(const std::string& why, std::span<const LocalAddress> machine) {
  return Status(Code::invalid_argument, why + "; this machine has " + to_text(machine));
}

Result<std::string> pick_one(std::string_view name, std::vector<std::string> hosts,
                             std::span<const LocalAddress> machine) {
  const auto keep = [&hosts](bool (*is_better)(const std::string&)) {
    if (std::any_of(hosts.begin(), hosts.end(), is_better)) {
      std::erase_if(hosts, [is_better](const std::string& host) { return !is_better(host); });
    }
  };
  keep(is_ipv4);
  keep([](const std::string& host) { return !is_link_local(host); });
  if (hosts.size() == 1) return hosts.front();
  std::string all;
  for (const std::string& host : hosts) all += (all.empty() ? "" : ", ") + host;
  return invalid("\"" + std::string(name) + "\" means several addresses (" + all + "); name one",
                 machine);
}

}  // namespace

std::vector<LocalAddress> local_addresses() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return {};
  std::vector<LocalAddress> addresses;
  for (const ifaddrs* item = first; item != nullptr; item = item->ifa_next) {
    if (item->ifa_addr == nullptr) continue;
    const int family = item->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const socklen_t bytes = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    addresses.push_back({item->ifa_name, numeric_host(item->ifa_addr, bytes)});
  }
  ::freeifaddrs(first);
  return addresses;
}

std::string to_text(std::span<const LocalAddress> machine) {
  std::string text;
  for (const LocalAddress& address : machine) {
    text += (text.empty() ? "" : ", ") + address.interface + " " + address.host;
  }
  return text.empty() ? "no address" : text;
}

bool is_own_address(std::string_view host, std::span<const LocalAddress> machine) {
  const std::optional<Bytes> wanted = parse_bytes(host);
  if (is_loopback(host) || (wanted && wanted->count == 4 && wanted->bytes[0] == 127)) return true;
  return wanted && std::any_of(machine.begin(), machine.end(), [&](const LocalAddress& address) {
           return parse_bytes(address.host) == wanted;
         });
}

bool is_block(std::string_view name) { return parse_block(name).has_value(); }

bool is_wildcard(std::string_view host) {
  const std::optional<Bytes> address = parse_bytes(host);
  return address && address->bytes == Bytes().bytes;
}

Result<std::string> choose_local_address(std::string_view name,
                                         std::span<const LocalAddress> machine) {
  std::vector<std::string> hosts;
  for (const LocalAddress& address : machine) {
    if (address.interface == name) hosts.push_back(address.host);
  }
  if (!hosts.empty()) return pick_one(name, std::move(hosts), machine);
  if (parse_bytes(name)) return std::string(name);
  if (const std::optional<Block> block = parse_block(name)) {
    for (const LocalAddress& address : machine) {
      const std::optional<Bytes> bytes = parse_bytes(address.host);
      if (bytes && block->has(*bytes)) hosts.push_back(address.host);
    }
    if (!hosts.empty()) return pick_one(name, std::move(hosts), machine);
    return invalid("no address of this machine is in \"" + std::string(name) + "\"", machine);
  }
  const std::vector<std::string> resolved = resolve_name(std::string(name));
  for (const std::string& host : resolved) {
    if (is_own_address(host, machine)) hosts.push_back(host);
  }
  if (!hosts.empty()) return pick_one(name, std::move(hosts), machine);
  const std::string shown = "\"" + std::string(name) + "\"";
  return invalid(resolved.empty()
                     ? shown + " is no interface, address, block or host name that is known here"
                     : shown + " is " + resolved.front() + ", no address of this machine",
                 machine);
}

}  // namespace phub::base
