#include "exchange/address.h"

#include <sys/un.h>

#include "base/list.h"
#include "base/scheme.h"
#include "base/try.h"

namespace phub::exchange {

Result<Address> parse_address(std::string_view text) {
  const std::string shown = "hub address \"" + std::string(text) + "\"";
  const auto invalid = [&](const std::string& why) {
    return Status(Code::invalid_argument, shown + " " + why);
  };
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos || colon == 0) {
    return invalid("has no scheme; want " + base::scheme_forms() +
                   ", for example shm:///tmp/phub.sock");
  }
  Address address;
  address.fabric = text.substr(0, colon);
  const std::string_view rest = text.substr(colon + 3);
  const base::Scheme* const scheme = base::find_scheme(address.fabric);
  if (scheme == nullptr) {
    return invalid("has a scheme that this build lacks; it has: " + base::scheme_names());
  }
  if (!scheme->is_local) {
    Result<base::HostPort> host_port = base::parse_host_port(rest);
    if (!host_port.ok()) {
      return invalid(host_port.status().message() + "; want " + address.fabric +
                     "://HOST:PORT, for example " + address.fabric + "://hub:7077");
    }
    address.host_port = std::move(host_port).value();
    return address;
  }
  address.socket_path = rest;
  if (!rest.starts_with('/')) {
    return invalid("names no absolute path of a socket; want shm:///tmp/phub.sock");
  }
  constexpr size_t kPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;
  if (rest.size() > kPathBytesMax) {
    return invalid("has a path of " + std::to_string(rest.size()) +
                   " bytes; a Unix socket's has at most " + std::to_string(kPathBytesMax));
  }
  return address;
}

Result<std::vector<Address>> parse_addresses(std::string_view text) {
  std::vector<Address> addresses;
  for (const std::string& entry : base::split_list(text)) {
    PHUB_TRY_ASSIGN(Address address, parse_address(entry));
    addresses.push_back(std::move(address));
  }
  return addresses;
}

std::string to_text(const Address& address) {
  return address.fabric + "://" +
         (address.is_local() ? address.socket_path : base::to_text(address.host_port));
}

}  // namespace phub::exchange
