// Can a hub be reached from here? Connects and greets as a worker would, without joining anything:
// the hub creates a job only after a proof, and none is sent.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace phub::doctor {

// How far the probe came; each but the last is where it ended.
enum class Reach : uint8_t {
  not_asked = 0,
  bad_address,   // Not an address of a hub.
  unknown_host,  // The resolver knows no such name.
  no_socket,     // shm: no such file.
  denied,        // shm: the socket's mode or its folder's; tcp: a local firewall.
  refused,       // The host answers, nobody listens.
  unreachable,   // No route.
  timed_out,     // Silence: the host is off, or a firewall drops.
  not_a_hub,     // Somebody accepts, but does not speak the session's protocol of this version.
  not_greeted,   // tls: somebody accepts. Certificates are for workers to show.
  greeted,
};

// A datagram of the path's size that no router may cut.
enum class FullDatagram : uint8_t {
  not_sent = 0,
  arrived,  // The host answered that nobody listens on that port.
  too_big,  // A router, or this machine, said so; path_mtu is what it told.
  silent,   // Neither: filtered on the way, or swallowed by a listener.
};

struct HubProbe {
  std::string uri;
  Reach reach = Reach::not_asked;
  std::string reason;                   // The system's or the hub's words, where there are any.
  std::string peer;                     // "10.0.0.7:7077": the address that was tried last.
  std::string hub;                      // "phubd 0.1.0 on node7"; empty: it did not say.
  double greeting_us = 0;               // From our hello to its challenge.
  std::optional<double> round_trip_us;  // TCP: as the kernel measured it.
  std::optional<uint32_t> path_mtu;     // TCP, with what follows.
  std::string own_address;              // Of this machine, on that path.
  std::optional<uint32_t> segment_bytes;
  FullDatagram full_datagram = FullDatagram::not_sent;
};

// `uri`: of one hub, as workers write it; HOST:PORT and auto:// are asked over TCP, as workers
// first do. Takes at most about `patience`, and what the resolver takes.
HubProbe probe_hub(const std::string& uri, std::chrono::milliseconds patience);

// path_probe.cc: fills own_address, path_mtu, segment_bytes, round_trip_us and full_datagram of a
// connected TCP socket.
void probe_path(int socket, HubProbe& probe);

}  // namespace phub::doctor
