// Schemes of a hub's addresses: the networks that move chunks. The one list of them, for parsers
// and messages.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace phub::base {

struct Scheme {
  std::string_view name;  // "tcp"
  std::string_view form;  // What an address looks like: "tcp://HOST:PORT".
  bool is_local = false;  // A socket's path follows, not a host and a port.
};

std::span<const Scheme> schemes();
const Scheme* find_scheme(std::string_view name);  // Null if there is none.

std::string scheme_names();  // "shm, tcp, tls, verbs, dpdk"
std::string scheme_forms();  // "shm://PATH, tcp://HOST:PORT, ... or dpdk://HOST:PORT"

}  // namespace phub::base
