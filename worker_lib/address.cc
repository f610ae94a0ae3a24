#include "worker_lib/address.h"

#include <sys/un.h>

namespace phub::client {

Result<HubAddress> parse_hub_address(std::string_view text) {
  const std::string shown = "hub address \"" + std::string(text) + "\"";
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos || colon == 0) {
    return Status(Code::invalid_argument,
                  shown + " has no scheme; want shm://PATH, for example shm:///tmp/phub.sock");
  }
  HubAddress address{std::string(text.substr(0, colon)), std::string(text.substr(colon + 3))};
  if (address.socket_path.empty() || address.socket_path.front() != '/') {
    return Status(Code::invalid_argument, shown + " names no absolute path of a socket; want " +
                                              address.fabric + ":///tmp/phub.sock");
  }
  constexpr size_t kPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;
  if (address.socket_path.size() > kPathBytesMax) {
    return Status(Code::invalid_argument,
                  shown + " has a path of " + std::to_string(address.socket_path.size()) +
                      " bytes; a Unix socket's has at most " + std::to_string(kPathBytesMax));
  }
  return address;
}

}  // namespace phub::client
