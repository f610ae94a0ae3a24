// Machines on a switch, made of network namespaces that nobody else sees.
//
//   Network network;                          // An empty switch (a bridge).
//   Node& hub = network.add({.mtu = 9000});   // 10.77.0.1, fd77::1 and fe80::1 on its eth0
//   network.pull_cable(hub);
//
// Namespaces have no names and are held by descriptors of this process: they end with it, however
// it ends, and tests can run side by side. Thread-safety: none.
#pragma once

#include <phub/status.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "tests/process/child.h"

namespace phub::net {

struct NodeOptions {
  uint32_t mtu = 1500;
  // Frames lost, doubled and delayed by up to 20 ms, of a thousand. All 0: a plain cable.
  uint32_t loss = 0;
  uint32_t duplicate = 0;
  uint32_t delay = 0;
};

// One machine.
class Node {
 public:
  const std::string& ipv4() const { return ipv4_; }
  const std::string& ipv6() const { return ipv6_; }
  int network() const { return network_.get(); }
  // Runs `body` on a thread that lives there: its sockets are this machine's.
  void run(const std::function<void()>& body) const;
  // `ip` with these arguments, one command a line. Check-fails with its output.
  void ip(const std::string& commands) const;

 private:
  friend class Network;
  base::Fd network_;
  std::string ipv4_, ipv6_;
  std::string port_;  // Its end of the cable at the switch.
};

class Network {
 public:
  // Why there can be no network here; empty if there can.
  static std::string why_unavailable();

  Network();
  Node& add(const NodeOptions& options = {});
  void pull_cable(const Node& node) { set_cable(node, "down"); }
  void plug_cable(const Node& node) { set_cable(node, "up"); }

 private:
  void set_cable(const Node& node, const std::string& state);

  Node switch_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<process::Child> wires_;
};

}  // namespace phub::net
