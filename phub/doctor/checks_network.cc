#include <algorithm>

#include "config/quantity.h"
#include "phub/doctor/checks.h"

namespace phub::doctor {
namespace {

using config::print_bytes;

constexpr uint64_t kFastMbps = 10'000;
constexpr uint32_t kJumboMtu = 9000;
constexpr double kRackRoundTripUs = 500;  // Where nothing was measured: a rack under load.

bool is_network(const Interface& interface) {
  return interface.is_up && !interface.is_loopback && !interface.addresses.empty();
}

std::string speed_text(const Interface& interface) {
  if (!interface.speed_mbps) return "speed unknown";
  const uint64_t mbps = *interface.speed_mbps;
  return mbps >= 1000 && mbps % 1000 == 0 ? std::to_string(mbps / 1000) + " Gb/s"
                                          : std::to_string(mbps) + " Mb/s";
}

std::optional<uint64_t> fastest_mbps(const Facts& facts) {
  std::optional<uint64_t> fastest;
  for (const Interface& interface : facts.interfaces) {
    if (!is_network(interface) || !interface.speed_mbps) continue;
    fastest = std::max(fastest.value_or(0), *interface.speed_mbps);
  }
  return fastest;
}

}  // namespace

Finding check_interfaces(const Facts& facts) {
  Finding finding{"interfaces", Verdict::ok, "", ""};
  for (const Interface& interface : facts.interfaces) {
    if (!is_network(interface)) continue;
    finding.seen += (finding.seen.empty() ? "" : "; ") + interface.name;
    for (const std::string& address : interface.addresses) finding.seen += " " + address;
    finding.seen += " (" + speed_text(interface) + ")";
    if (interface.speed_mbps && *interface.speed_mbps < 1000) finding.verdict = Verdict::warning;
  }
  if (finding.seen.empty()) {
    finding.verdict = Verdict::warning;
    finding.seen = "none is up with an address: only workers on this machine can reach a hub here";
    finding.fix = "ip link set dev NAME up; ip address add ADDRESS/PREFIX dev NAME";
  } else if (finding.verdict == Verdict::warning) {
    finding.seen += ": slower than 1 Gb/s";
    finding.fix = "ethtool NAME shows what was negotiated; look at cable and switch port";
  }
  return finding;
}

Finding check_mtu(const Facts& facts) {
  Finding finding{"MTU", Verdict::skipped, "no network interface is up", ""};
  for (const Interface& interface : facts.interfaces) {
    if (!is_network(interface) || interface.mtu == 0) continue;
    if (finding.verdict == Verdict::skipped) finding = {"MTU", Verdict::ok, "", ""};
    finding.seen +=
        (finding.seen.empty() ? "" : ", ") + interface.name + " " + std::to_string(interface.mtu);
    if (interface.speed_mbps.value_or(0) < kFastMbps || interface.mtu >= kJumboMtu) continue;
    finding.verdict = Verdict::warning;
    finding.fix += (finding.fix.empty() ? "" : "; ") + std::string("ip link set dev ") +
                   interface.name + " mtu " + std::to_string(kJumboMtu);
  }
  if (finding.verdict == Verdict::warning) {
    finding.seen += ": at 10 Gb/s and more, small frames cost processor time";
    finding.fix += " (on every machine and switch of the network)";
  }
  return finding;
}

// A connection moves at most a window per round trip: the window must hold what is on its way.
Finding check_tcp_buffers(const Facts& facts) {
  Finding finding{"TCP buffers", Verdict::skipped, "the limits are not readable", ""};
  if (!facts.tcp_receive_bytes_max || !facts.tcp_send_bytes_max) return finding;
  const std::optional<uint64_t> known = fastest_mbps(facts);
  const uint64_t mbps = known.value_or(kFastMbps);
  const double round_trip_us =
      std::max(facts.hub.round_trip_us.value_or(kRackRoundTripUs), kRackRoundTripUs);
  // Megabits per second times microseconds are bits. Twice: half of a buffer is bookkeeping.
  const auto wanted = static_cast<uint64_t>(static_cast<double>(mbps) * round_trip_us / 8) * 2;
  const uint64_t smaller = std::min(*facts.tcp_receive_bytes_max, *facts.tcp_send_bytes_max);
  finding.seen = "at most " + print_bytes(*facts.tcp_receive_bytes_max) + " in, " +
                 print_bytes(*facts.tcp_send_bytes_max) + " out; " + std::to_string(mbps / 1000) +
                 " Gb/s" + (known ? "" : " (assumed)") + " with " +
                 config::print_duration_us(static_cast<uint64_t>(round_trip_us)) +
                 " round trip want " + print_bytes(wanted);
  finding.verdict = Verdict::ok;
  if (smaller >= wanted) return finding;
  finding.verdict = Verdict::warning;
  const std::string bytes = std::to_string(wanted);
  finding.fix = "sysctl -w net.ipv4.tcp_rmem='4096 131072 " + bytes +
                "' net.ipv4.tcp_wmem='4096 65536 " + bytes + "'";
  return finding;
}

}  // namespace phub::doctor
