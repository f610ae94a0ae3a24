// RDMA: what verbs:// needs of a machine. On one without RDMA devices all is skipped.
#include <algorithm>

#include "phub/doctor/checks.h"

namespace phub::doctor {
namespace {

constexpr const char* kNoDevice = "no RDMA device";

void add(std::string& list, const std::string& entry, const char* separator = ", ") {
  list += (list.empty() ? "" : separator) + entry;
}

bool has_rdma(const Facts& facts) { return !facts.devices.rdma_ports.empty(); }

bool is_roce(const RdmaPort& port) { return port.is_active() && !port.is_infiniband; }

// What the kernel makes of an interface's MTU: the largest that fits with headers of 96 bytes.
uint32_t rdma_mtu_of(uint32_t interface_mtu) {
  uint32_t fits = 0;
  for (const uint32_t mtu : {256u, 512u, 1024u, 2048u, 4096u}) {
    if (mtu + 96 <= interface_mtu) fits = mtu;
  }
  return fits;
}

std::string fix_of_state(const RdmaPort& port) {
  if (!port.is_infiniband) {
    const std::string name = port.interface.empty() ? "NAME" : port.interface;
    return "ip link set dev " + name + " up; look at cable and switch port";
  }
  if (port.state == "INIT" || port.state == "ARMED") {
    return "start a subnet manager on one machine of the network: systemctl start opensm";
  }
  return "look at cable and switch port: ibstat " + port.device;
}

}  // namespace

Finding check_verbs_library(const Facts& facts) {
  Finding finding{"libibverbs", Verdict::skipped, kNoDevice, ""};
  if (!has_rdma(facts)) return finding;
  finding.seen = "not tried";
  if (!facts.devices.verbs_library) return finding;
  finding.verdict = Verdict::ok;
  finding.seen = "loaded";
  if (facts.devices.verbs_library->empty()) return finding;
  finding.verdict = Verdict::problem;
  finding.seen = *facts.devices.verbs_library;
  finding.fix = "apt-get install libibverbs1 ibverbs-providers (dnf install rdma-core libibverbs)";
  return finding;
}

Finding check_rdma_ports(const Facts& facts) {
  Finding finding{"RDMA ports", Verdict::skipped,
                  "no RDMA device; verbs:// needs one, or soft-RoCE: modprobe rdma_rxe && rdma "
                  "link add rxe0 type rxe netdev NAME",
                  ""};
  if (!has_rdma(facts)) return finding;
  finding = {"RDMA ports", Verdict::ok, "", ""};
  size_t active = 0;
  for (const RdmaPort& port : facts.devices.rdma_ports) {
    const std::string layer = port.is_infiniband ? "InfiniBand" : "RoCE";
    const std::string place = port.interface.empty() ? "" : " at " + port.interface;
    add(finding.seen, port.name() + " " + layer + place + " " +
                          (port.state.empty() ? "in no known state" : port.state));
    active += port.is_active() ? 1 : 0;
    if (port.is_active()) continue;
    finding.verdict = Verdict::warning;
    add(finding.fix, fix_of_state(port), "; ");
  }
  if (active == 0) finding.verdict = Verdict::problem;
  return finding;
}

Finding check_rdma_gids(const Facts& facts) {
  Finding finding{"RDMA addresses", Verdict::skipped, "no RoCE port is active", ""};
  for (const RdmaPort& port : facts.devices.rdma_ports) {
    if (!is_roce(port)) continue;
    if (finding.verdict == Verdict::skipped) finding = {"RDMA addresses", Verdict::ok, "", ""};
    const auto choice = transport::choose_gid(port.gids, facts.devices.rdma_gid, false);
    const std::string name = port.interface.empty() ? "NAME" : port.interface;
    if (!choice.ok()) {
      finding.verdict = Verdict::problem;
      add(finding.seen, port.name() + ": " + choice.status().message(), "; ");
      add(finding.fix,
          "ip address add 10.1.0.7/24 dev " + name +
              " (an address of your own; its GID follows by itself), or another "
              "rdma_gid",
          "; ");
      continue;
    }
    add(finding.seen, port.name() + " takes " + choice->reason, "; ");
    const transport::Gid& gid = choice->entry.gid;
    const bool is_old = choice->entry.type != transport::GidType::roce_v2;
    const bool is_link_local = gid[0] == 0xfe && (gid[1] & 0xc0) == 0x80;
    if (!is_old && !is_link_local) continue;
    finding.verdict = std::max(finding.verdict, Verdict::warning);
    add(finding.seen, is_old ? "RoCE v1 crosses no router" : "link-local crosses no router");
    add(finding.fix,
        is_old ? "cma_roce_mode -d " + port.device + " -p " + std::to_string(port.port) + " -m 2"
               : "ip address add 10.1.0.7/24 dev " + name + " (an address of your own)",
        "; ");
  }
  return finding;
}

// Both ends must carry the same: the smaller wins, and a switch between them that carries less than
// either drops what it cannot, which shows as status 12.
Finding check_rdma_mtu(const Facts& facts) {
  Finding finding{"RDMA MTU", Verdict::skipped, "no RoCE port with a known interface is active",
                  ""};
  for (const RdmaPort& port : facts.devices.rdma_ports) {
    if (!is_roce(port) || port.interface_mtu == 0) continue;
    if (finding.verdict == Verdict::skipped) finding = {"RDMA MTU", Verdict::ok, "", ""};
    const uint32_t mtu = rdma_mtu_of(port.interface_mtu);
    add(finding.seen, port.name() + " " + std::to_string(mtu) + " (" + port.interface + " has " +
                          std::to_string(port.interface_mtu) + ")");
    if (mtu == 4096) continue;
    finding.verdict = Verdict::warning;
    add(finding.fix, "ip link set dev " + port.interface + " mtu 9000", "; ");
  }
  if (finding.verdict == Verdict::warning) {
    finding.seen += ": RDMA could use 4096";
    finding.fix += " (on every machine and switch of the network)";
  }
  return finding;
}

Finding check_verbs_files(const Facts& facts) {
  Finding finding{"/dev/infiniband", Verdict::skipped, kNoDevice, ""};
  if (!has_rdma(facts)) return finding;
  finding = {"/dev/infiniband", Verdict::ok, "", ""};
  for (const DeviceFile& file : facts.devices.verbs_files) {
    add(finding.seen, file.path + " of " + file.of +
                          (!file.exists   ? " is not there"
                           : file.is_open ? ""
                                          : " is not allowed"));
    if (file.is_open) continue;
    finding.verdict = Verdict::problem;
    add(finding.fix,
        file.exists ? "chmod 0666 " + file.path +
                          " (for good: a rule of udev, MODE=\"0666\", as rdma-core installs it)"
                    : "modprobe ib_uverbs; in a container: docker run --device=/dev/infiniband "
                      "--cap-add=IPC_LOCK",
        "; ");
  }
  if (!facts.devices.verbs_files.empty()) return finding;
  finding.verdict = Verdict::problem;
  finding.seen = "the kernel offers no device to programs";
  finding.fix = "modprobe ib_uverbs";
  return finding;
}

// A shard whose node has no NIC reaches all of them through the other socket.
Finding check_nic_distance(const Facts& facts) {
  Finding finding{"NICs and NUMA", Verdict::skipped, kNoDevice, ""};
  if (!has_rdma(facts)) return finding;
  finding.seen = "one NUMA node with cores";
  if (facts.devices.core_nodes.size() < 2) return finding;
  finding = {"NICs and NUMA", Verdict::ok, "", ""};
  std::vector<uint32_t> nodes;
  for (const RdmaPort& port : facts.devices.rdma_ports) {
    if (!port.is_active()) continue;
    add(finding.seen, port.name() + (port.numa_node ? " on node " + std::to_string(*port.numa_node)
                                                    : " on no known node"));
    if (port.numa_node) nodes.push_back(*port.numa_node);
  }
  if (nodes.empty()) return {"NICs and NUMA", Verdict::skipped, "no active port says its node", ""};
  std::string far;
  for (const uint32_t node : facts.devices.core_nodes) {
    if (std::find(nodes.begin(), nodes.end(), node) != nodes.end()) continue;
    const auto& distances = facts.devices.distances;
    const bool is_known = node < distances.size() && nodes[0] < distances[node].size();
    add(far, "node " + std::to_string(node) +
                 (is_known ? " (distance " + std::to_string(distances[node][nodes[0]]) + ")" : ""));
  }
  if (far.empty()) return finding;
  finding.verdict = Verdict::warning;
  finding.seen += "; shards on " + far + " reach their NICs through another socket";
  finding.fix = "numactl --cpunodebind=" + std::to_string(nodes[0]) +
                " --membind=" + std::to_string(nodes[0]) +
                " phubd, or a NIC in a slot of the other socket";
  return finding;
}

}  // namespace phub::doctor
