#include "worker_lib/choose_address.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "base/log.h"
#include "base/random.h"
#include "base/scheme.h"
#include "base/try.h"
#include "exchange/probe.h"
#include "exchange/session_stream.h"
#include "transport/tcp_socket.h"

namespace phub::client {
namespace {

constexpr std::string_view kAuto = "auto://";
constexpr std::chrono::seconds kSocketPatience{2};  // A hub on this host answers at once.

// The part behind auto://, also where that is left out.
Result<base::HostPort> parse_auto(std::string_view text) {
  const std::string_view rest = text.starts_with(kAuto) ? text.substr(kAuto.size()) : text;
  Result<base::HostPort> place = base::parse_host_port(rest);
  if (place.ok() && place->port != 0) return place;
  return Status(Code::invalid_argument, "hub address \"" + std::string(text) + "\" " +
                                            (place.ok() ? "has port 0" : place.status().message()) +
                                            "; want " + base::scheme_forms() +
                                            ", or HOST:PORT to choose between the first two");
}

bool is_auto(std::string_view text) {
  return text.starts_with(kAuto) || text.find("://") == std::string_view::npos;
}

// Workers that were turned away together should not come back together.
std::chrono::milliseconds random_pause() {
  unsigned char byte = 0;
  base::random_bytes({&byte, 1});
  return std::chrono::milliseconds(50 + byte);
}

// Whoever listens there speaks otherwise. What is said of TLS needs no guess.
Status no_hub(const Status& status, const base::HostPort& place) {
  const bool is_tls = status.message().find("TLS") != std::string::npos;
  return Status(status.code(), base::to_text(place) +
                                   " does not answer as a hub: " + status.message() +
                                   (is_tls ? ""
                                           : "; is this the port of phubd's --listen, not of "
                                             "--http?"));
}

// Asks until the hub has time for an answer.
Result<exchange::ProbeAnswer> ask(const base::HostPort& place, const std::string& nonce,
                                  base::Instant deadline) {
  while (true) {
    PHUB_TRY_ASSIGN(base::Fd socket, transport::connect_tcp(place, deadline));
    auto answer = exchange::probe_hub(std::move(socket), nonce, deadline);
    if (!answer.ok()) {
      return no_hub(answer.status(), place);
    }
    const bool is_busy = answer->refusal.code() == Code::resource_exhausted;
    const std::chrono::milliseconds pause = random_pause();
    if (!is_busy || base::now() + pause >= deadline) return answer;
    std::this_thread::sleep_for(pause);
  }
}

// ok: the socket of this address is here, and the same hub is behind it.
Status check_socket(const exchange::Address& address, const std::string& instance,
                    base::Instant deadline) {
  const std::string& path = address.socket_path;
  if (::access(path.c_str(), F_OK) != 0) {
    const bool is_absent = errno == ENOENT;
    return Status(Code::unavailable, path + " cannot be opened here: " + base::errno_text() +
                                         (is_absent ? " (another mount namespace?)" : ""));
  }
  Result<base::Fd> socket = exchange::connect_unix(path, deadline);
  if (!socket.ok()) return socket.status();
  const auto answer =
      exchange::probe_hub(std::move(socket).value(), exchange::make_nonce(), deadline);
  if (!answer.ok()) return answer.status().with_context(path + " does not let this process in");
  if (!answer->refusal.ok()) return answer->refusal.with_context(path);
  if (answer->probed.instance == instance) return {};
  return Status(Code::unavailable, path + " leads to another hub here");
}

ChosenAddress choose(const base::HostPort& place, const exchange::Probed& probed,
                     const std::string& proof, base::Instant deadline) {
  ChosenAddress chosen{{"tcp", "", place}, ""};
  if (proof.empty() || probed.host_proof.empty()) {
    chosen.why = "the kernel does not say its boot id";
    return chosen;
  }
  if (probed.host_proof != proof) {
    chosen.why = "it runs on another host (the boot ids differ)";
    return chosen;
  }
  chosen.why = "the hub listens on no shm:// address";
  const base::Instant soon = std::min(deadline, base::now() + kSocketPatience);
  for (const std::string& text : probed.listen) {
    const Result<exchange::Address> address = exchange::parse_address(text);
    if (!address.ok() || !address->is_local()) continue;
    const Status status = check_socket(*address, probed.instance, soon);
    if (status.ok()) return {*address, "it runs on this host"};
    chosen.why = status.message();
  }
  return chosen;
}

}  // namespace

std::string ChosenAddress::to_text() const {
  return exchange::to_text(address) + (why.empty() ? "" : ", because " + why);
}

Status check_hub_address(std::string_view text) {
  return is_auto(text) ? parse_auto(text).status() : exchange::parse_address(text).status();
}

Result<ChosenAddress> choose_address(std::string_view text, base::Instant deadline,
                                     std::string_view boot_id) {
  if (!is_auto(text)) {
    PHUB_TRY_ASSIGN(exchange::Address address, exchange::parse_address(text));
    return ChosenAddress{std::move(address), ""};
  }
  PHUB_TRY_ASSIGN(const base::HostPort place, parse_auto(text));
  const std::string nonce = exchange::make_nonce();
  const Result<exchange::ProbeAnswer> answer = ask(place, nonce, deadline);
  if (!answer.ok()) return answer.status().with_context("hub " + std::string(text));
  const Status& refusal = answer->refusal;
  ChosenAddress chosen{{"tcp", "", place}, "the hub answers no probe: " + refusal.message()};
  if (refusal.ok()) {
    chosen = choose(place, answer->probed, exchange::prove_host(nonce, boot_id), deadline);
  }
  base::log(base::LogLevel::info, "hub " + base::to_text(place) + ": " + chosen.to_text());
  return chosen;
}

}  // namespace phub::client
