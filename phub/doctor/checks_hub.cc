#include <algorithm>
#include <array>
#include <cstdio>

#include "base/scheme.h"
#include "phub/doctor/checks.h"

namespace phub::doctor {
namespace {

constexpr double kGreetingMsMax = 100;

std::string ms_text(double us) {
  std::array<char, 40> text;
  std::snprintf(text.data(), text.size(), "%.2f ms", us / 1000);
  return text.data();
}

bool is_local(const HubProbe& probe) { return probe.uri.starts_with("shm://"); }

// tcp, where the worker chooses.
std::string scheme_of(const HubProbe& probe) {
  const size_t scheme_end = probe.uri.find("://");
  const bool is_known = scheme_end != std::string::npos && !probe.uri.starts_with("auto://");
  return is_known ? probe.uri.substr(0, scheme_end) : "tcp";
}

// Without its scheme.
std::string place_of(const HubProbe& probe) {
  const size_t scheme_end = probe.uri.find("://");
  return scheme_end == std::string::npos ? probe.uri : probe.uri.substr(scheme_end + 3);
}

std::string fix_of_refused(const HubProbe& probe) {
  if (is_local(probe)) return "the socket is left over: start phubd --listen " + probe.uri;
  return "start phubd --listen " + scheme_of(probe) +
         "://0.0.0.0:PORT there; one that listens on 127.0.0.1 is not reached from elsewhere";
}

// Why the hub was not reached, and what to do about each.
struct Obstacle {
  std::string seen;
  std::string fix;
};

Obstacle obstacle_of(const HubProbe& probe) {
  const std::string reason = probe.reason.empty() ? "" : ": " + probe.reason;
  switch (probe.reach) {
    case Reach::bad_address:
      return {reason.empty() ? "not an address" : probe.reason,
              "--hub " + base::scheme_forms() + ", or HOST:PORT, as phubd --listen has it"};
    case Reach::unknown_host:
      return {"the name is not known" + reason,
              "getent hosts NAME; use the address, or add it to "
              "DNS or /etc/hosts"};
    case Reach::no_socket:
      return {"no such socket",
              "start phubd --listen " + probe.uri + "; in a container mount the socket's folder"};
    case Reach::denied:
      return {"not allowed" + reason, "run as the hub's user or as root; or use tcp://"};
    case Reach::refused:
      return {"refused: the host answers, but nobody listens", fix_of_refused(probe)};
    case Reach::unreachable:
      return {"unreachable" + reason, "ip route get HOST; look at address, cable and gateway"};
    case Reach::timed_out:
      return {"no answer in time",
              "is the host up (ping)? open the port in its firewall, and the "
              "shards' ports, which are phubd's port_range, or any free ones"};
    case Reach::not_a_hub:
      if (reason.find("tls://") != std::string::npos) {
        return {"speaks TLS" + reason, "--hub tls://" + place_of(probe)};
      }
      return {"somebody accepts, but it is no hub of this protocol" + reason,
              "is it the port of --listen (not of --http)? compare phubctl version on both"};
    case Reach::not_asked:
    case Reach::not_greeted:
    case Reach::greeted:
      break;
  }
  return {};
}

// Null: none has the address, or it is loopback, whose MTU no path narrows.
const Interface* interface_of(const Facts& facts, const std::string& address) {
  for (const Interface& interface : facts.interfaces) {
    const auto& addresses = interface.addresses;
    if (interface.is_loopback) continue;
    if (std::find(addresses.begin(), addresses.end(), address) != addresses.end()) {
      return &interface;
    }
  }
  return nullptr;
}

}  // namespace

Finding check_hub(const Facts& facts) {
  const HubProbe& probe = facts.hub;
  Finding finding{"hub", Verdict::skipped, "give --hub, or PHUB_HUB: " + base::scheme_forms(), ""};
  if (probe.reach == Reach::not_asked) return finding;
  finding.seen = probe.uri + (probe.peer.empty() || is_local(probe) ? "" : " (" + probe.peer + ")");
  if (probe.reach == Reach::not_greeted) {
    finding.seen +=
        ": accepts connections; TLS is not tried here, start a worker to prove certificates";
    return finding;
  }
  if (probe.reach != Reach::greeted) {
    const Obstacle obstacle = obstacle_of(probe);
    finding.verdict = Verdict::problem;
    finding.seen += ": " + obstacle.seen;
    finding.fix = obstacle.fix;
    return finding;
  }
  finding.seen += ": " + (probe.hub.empty() ? std::string("a hub") : probe.hub);
  if (!probe.reason.empty()) {
    finding.verdict = Verdict::problem;
    finding.seen += ", which refuses: " + probe.reason;
    finding.fix = "the hub's log says more; phubctl status shows its limits";
    return finding;
  }
  finding.seen += ", greets in " + ms_text(probe.greeting_us);
  if (probe.round_trip_us) finding.seen += ", round trip " + ms_text(*probe.round_trip_us);
  finding.verdict = Verdict::ok;
  if (probe.greeting_us <= kGreetingMsMax * 1000) return finding;
  finding.verdict = Verdict::warning;
  finding.fix = "is the hub's machine overloaded (phubctl top), or the way to it long?";
  return finding;
}

Finding check_path(const Facts& facts) {
  const HubProbe& probe = facts.hub;
  Finding finding{"path to the hub", Verdict::skipped, "no hub reached over TCP", ""};
  if (!probe.path_mtu) return finding;
  const std::string mtu = std::to_string(*probe.path_mtu);
  finding.seen = (facts.other_hubs.empty() ? "" : probe.uri + ": ") + "MTU " + mtu;
  if (probe.segment_bytes) {
    finding.seen += ", segments of " + std::to_string(*probe.segment_bytes) + " bytes";
  }
  const Interface* const interface = interface_of(facts, probe.own_address);
  const bool is_narrowed = probe.full_datagram == FullDatagram::too_big ||
                           (interface != nullptr && *probe.path_mtu < interface->mtu);
  if (is_narrowed) {
    finding.verdict = Verdict::warning;
    finding.seen += ": less than this machine's interface sends";
    if (interface != nullptr) {
      finding.seen += " (" + interface->name + " " + std::to_string(interface->mtu) + ")";
    }
    finding.fix =
        "give all interfaces and switch ports on the way the same MTU; until then ip "
        "route add HOST via GATEWAY mtu " +
        mtu;
    return finding;
  }
  finding.verdict = Verdict::ok;
  switch (probe.full_datagram) {
    case FullDatagram::arrived:
      finding.seen += "; a datagram of that size arrived uncut";
      break;
    case FullDatagram::silent:
      finding.seen += "; nothing told whether a datagram of that size arrived (ICMP is filtered?)";
      break;
    case FullDatagram::not_sent:
      finding.seen += " by the kernel's table; nothing was sent to prove it";
      break;
    case FullDatagram::too_big:  // Narrowed: told above.
      break;
  }
  return finding;
}

Finding check_door(const Facts& facts) {
  const Door& door = facts.door;
  Finding finding{"hub over HTTP", Verdict::skipped, "not asked", ""};
  if (door.address.empty()) return finding;
  finding.seen = "http " + door.address + ": " + door.answer;
  if (door.has_answered) {
    finding.verdict = door.answer == "ok" ? Verdict::ok : Verdict::warning;
    if (door.answer == "draining") finding.fix = "phubctl undrain, or wait for the hub's end";
    return finding;
  }
  if (!door.is_given) {
    finding.seen += "; give --http HOST:PORT if a hub runs elsewhere";
    return finding;
  }
  finding.verdict = Verdict::problem;
  finding.fix =
      "start phubd --http " + door.address +
      " there; beyond loopback it wants --admin-token-file, or use ssh -L 7070:" + door.address +
      " HOST";
  return finding;
}

}  // namespace phub::doctor
