#include "config/hub_options.h"

#include <grp.h>

#include <array>
#include <utility>
#include <vector>

#include "base/list.h"
#include "base/scheme.h"
#include "base/try.h"
#include "config/network_options.h"
#include "config/quantity.h"
#include "config/token_file.h"

namespace phub::config {
namespace {

constexpr size_t kUnixPathMax = 107;  // sun_path without its terminator.
constexpr uint64_t kMemoryLimitMin = uint64_t{16} << 20;

Status invalid(std::string message) { return Status(Code::invalid_argument, std::move(message)); }

// The value that belongs to `text`. Alternatives are few: a list beats a map.
template <typename T, size_t kCount>
Result<T> choose(std::string_view text,
                 const std::array<std::pair<std::string_view, T>, kCount>& of) {
  std::string names;
  for (const auto& [name, value] : of) {
    if (name == text) return value;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  return invalid(" is none of " + names);
}

Result<bool> parse_yes_no(std::string_view text) {
  return choose(text, std::array<std::pair<std::string_view, bool>, 6>{{{"yes", true},
                                                                        {"no", false},
                                                                        {"on", true},
                                                                        {"off", false},
                                                                        {"true", true},
                                                                        {"false", false}}});
}

Result<uint64_t> number(std::string_view text, uint64_t minimum, uint64_t maximum) {
  return parse_number(text, minimum, maximum);
}

Status check_address(std::string_view value) {
  const size_t scheme_end = value.find("://");
  if (scheme_end == std::string_view::npos || scheme_end == 0) {
    return invalid(" has no scheme; want " + base::scheme_forms());
  }
  const std::string_view name = value.substr(0, scheme_end);
  const base::Scheme* const scheme = base::find_scheme(name);
  if (scheme == nullptr) {
    return invalid(" has a scheme that this build lacks; it has " + base::scheme_names());
  }
  if (!scheme->is_local) {
    const Result<base::HostPort> address =
        base::parse_listen_host_port(value.substr(scheme_end + 3));
    if (!address.ok()) {
      return invalid(" " + address.status().message() + "; want " + std::string(scheme->form) +
                     ", for example " + std::string(name) + "://0.0.0.0:7077");
    }
  } else {
    const std::string_view path = value.substr(scheme_end + 3);
    if (!path.starts_with('/') || path.ends_with('/')) {
      return invalid(
          " is not the absolute path of a socket; want for example shm:///tmp/phub.sock");
    }
    if (path.size() > kUnixPathMax) {
      return invalid(", but a socket's path has at most " + std::to_string(kUnixPathMax) +
                     " bytes and this one has " + std::to_string(path.size()) +
                     "; choose a shorter one");
    }
  }
  return Status();
}

Status apply_listen(std::string_view value, const Machine&, HubConfig& config) {
  config.listen = value;
  for (const std::string& address : base::split_list(value)) PHUB_TRY(check_address(address));
  return Status();
}

Status apply_http(std::string_view value, const Machine&, HubConfig& config) {
  if (value == "off") {
    config.http.reset();
    return Status();
  }
  const Result<base::HostPort> address = base::parse_host_port(value);
  if (!address.ok())
    return invalid(" " + address.status().message() +
                   "; want HOST:PORT, for example 127.0.0.1:7070, or off");
  config.http = *address;
  return Status();
}

Status apply_shards(std::string_view value, const Machine& machine, HubConfig& config) {
  const Result<uint64_t> shards = number(value, 1, 65'535);
  if (!shards.ok()) return invalid(" " + shards.status().message());
  if (*shards > machine.core_count) {
    const std::string cores = std::to_string(machine.core_count);
    return invalid(", but this process may use " + cores + (cores == "1" ? " core" : " cores") +
                   " and each shard wants its own; use at most " + cores);
  }
  config.shards = static_cast<uint32_t>(*shards);
  return Status();
}

Status apply_pin(std::string_view value, const Machine&, HubConfig& config) {
  const Result<Pinning> pin = choose(
      value, std::array<std::pair<std::string_view, Pinning>, 3>{
                 {{"auto", Pinning::automatic}, {"on", Pinning::on}, {"off", Pinning::off}}});
  if (!pin.ok()) return pin.status();
  config.pin = *pin;
  return Status();
}

// An absolute size, or a share of the machine: "50%".
Result<uint64_t> parse_memory(std::string_view value, const Machine& machine) {
  if (!value.ends_with('%')) {
    const Result<uint64_t> bytes = parse_bytes(value);
    if (!bytes.ok()) return invalid(" " + bytes.status().message() + ", or a share such as 50%");
    return bytes;
  }
  const Result<uint64_t> percent = number(value.substr(0, value.size() - 1), 1, 100);
  if (!percent.ok()) return invalid(" is not a share; want 1% to 100% of the machine's memory");
  return machine.memory_bytes / 100 * *percent;
}

Status check_memory(uint64_t bytes, const Machine& machine) {
  if (bytes < kMemoryLimitMin) {
    return invalid(" is " + print_bytes(bytes) + ", too little for any job; use at least " +
                   print_bytes(kMemoryLimitMin));
  }
  if (bytes > machine.memory_bytes) {
    return invalid(", but the machine has " + print_bytes(machine.memory_bytes) +
                   " of memory; use less, for example 50%");
  }
  return Status();
}

Status apply_memory_limit(std::string_view value, const Machine& machine, HubConfig& config) {
  PHUB_TRY_ASSIGN(const uint64_t bytes, parse_memory(value, machine));
  PHUB_TRY(check_memory(bytes, machine));
  config.memory_limit_bytes = bytes;
  return Status();
}

Status apply_job_memory_limit(std::string_view value, const Machine& machine, HubConfig& config) {
  PHUB_TRY_ASSIGN(const uint64_t bytes, parse_memory(value, machine));
  PHUB_TRY(check_memory(bytes, machine));
  config.job_memory_limit_bytes = bytes;
  return Status();
}

Status apply_jobs_max(std::string_view value, const Machine&, HubConfig& config) {
  const Result<uint64_t> jobs = number(value, 1, 4096);
  if (!jobs.ok()) return invalid(" " + jobs.status().message());
  config.jobs_max = static_cast<uint32_t>(*jobs);
  return Status();
}

Status apply_sessions_max(std::string_view value, const Machine&, HubConfig& config) {
  const Result<uint64_t> sessions = number(value, 1, 65'536);
  if (!sessions.ok()) return invalid(" " + sessions.status().message());
  config.sessions_max = static_cast<uint32_t>(*sessions);
  return Status();
}

// Milliseconds between the bounds; "5s" and "5000ms" are the same.
Result<uint64_t> parse_ms(std::string_view value, uint64_t minimum_ms, uint64_t maximum_ms) {
  const Result<uint64_t> us = parse_duration_us(value);
  if (!us.ok()) return invalid(" " + us.status().message());
  if (*us % 1000 != 0 || *us < minimum_ms * 1000 || *us > maximum_ms * 1000) {
    return invalid(" is out of range; use " + print_duration_us(minimum_ms * 1000) + " to " +
                   print_duration_us(maximum_ms * 1000) + ", in whole milliseconds");
  }
  return *us / 1000;
}

Status apply_peer_timeout(std::string_view value, const Machine&, HubConfig& config) {
  PHUB_TRY_ASSIGN(config.peer_timeout_ms, parse_ms(value, 100, 600'000));
  return Status();
}

Status apply_join_timeout(std::string_view value, const Machine&, HubConfig& config) {
  PHUB_TRY_ASSIGN(config.join_timeout_ms, parse_ms(value, 100, 86'400'000));
  return Status();
}

Status apply_socket_mode(std::string_view value, const Machine&, HubConfig& config) {
  PHUB_TRY_ASSIGN(config.socket_mode,
                  choose(value, std::array<std::pair<std::string_view, uint32_t>, 3>{
                                    {{"0600", 0600}, {"0660", 0660}, {"0666", 0666}}}));
  return Status();
}

Status apply_socket_group(std::string_view value, const Machine&, HubConfig& config) {
  std::array<char, 16 << 10> names;
  struct group entry {};
  struct group* found = nullptr;
  ::getgrnam_r(std::string(value).c_str(), &entry, names.data(), names.size(), &found);
  if (found == nullptr) {
    return invalid(" is no group of this machine; `getent group` lists them");
  }
  config.socket_group = found->gr_gid;
  return Status();
}

Status apply_stores(std::string_view value, const Machine&, HubConfig& config) {
  PHUB_TRY_ASSIGN(config.stores,
                  choose(value, std::array<std::pair<std::string_view, StorePolicy>, 3>{
                                    {{"auto", StorePolicy::automatic},
                                     {"ordinary", StorePolicy::ordinary},
                                     {"non_temporal", StorePolicy::non_temporal}}}));
  return Status();
}

Status apply_idle_spin(std::string_view value, const Machine&, HubConfig& config) {
  const Result<uint64_t> us = parse_duration_us(value);
  if (!us.ok()) return invalid(" " + us.status().message());
  if (*us > 1'000'000) return invalid(" burns a core for nothing; use at most 1s");
  config.idle_spin_us = static_cast<uint32_t>(*us);
  return Status();
}

Status apply_admin_token_file(std::string_view value, const Machine&, HubConfig& config) {
  const Result<std::string> token = read_token_file(std::string(value));
  if (!token.ok()) return Status(token.status().code(), ": " + token.status().message());
  config.admin_token = *token;
  return Status();
}

// The files are read when the hub starts.
Status apply_tls_cert(std::string_view value, const Machine&, HubConfig& config) {
  config.tls_cert = value;
  return Status();
}

Status apply_tls_key(std::string_view value, const Machine&, HubConfig& config) {
  config.tls_key = value;
  return Status();
}

Status apply_tls_client_ca(std::string_view value, const Machine&, HubConfig& config) {
  config.tls_client_ca = value;
  return Status();
}

Status apply_allow_create(std::string_view value, const Machine&, HubConfig& config) {
  PHUB_TRY_ASSIGN(config.can_workers_create, parse_yes_no(value));
  return Status();
}

Status apply_log_level(std::string_view value, const Machine&, HubConfig& config) {
  PHUB_TRY_ASSIGN(config.log_level, parse_log_level(value));
  return Status();
}

Status apply_log_json(std::string_view value, const Machine&, HubConfig& config) {
  PHUB_TRY_ASSIGN(config.is_log_json, parse_yes_no(value));
  return Status();
}

constexpr bool kCanReload = true;

constexpr std::array kOptions{
    HubOption{"listen", "URI", "Where workers connect", "shm:///tmp/phub.sock", apply_listen},
    HubOption{"advertise", "HOST", "The host of this machine that workers over TCP are told",
              "the one by which each reached the hub", apply_advertise},
    HubOption{"port_range", "FIRST-LAST", "Ports that links over TCP listen at, one for each shard",
              "any free ones", apply_port_range},
    HubOption{"tcp_streams", "N",
              "Connections of each link over TCP, for networks that one does not fill", "1",
              apply_tcp_streams},
    HubOption{"http", "HOST:PORT", "Where operators connect; off: nowhere", "127.0.0.1:7070",
              apply_http},
    HubOption{"socket_mode", "0600|0660|0666",
              "Who may connect to the sockets of shm:// and try to join: the hub's user and root; "
              "also socket_group; everybody on this machine",
              "0600", apply_socket_mode},
    HubOption{
        "socket_group", "GROUP",
        "The group of these sockets, one that the hub's user belongs to; none: the user's own",
        "none", apply_socket_group},
    HubOption{"shards", "N", "Cores that sum; all: every core this process may use", "all",
              apply_shards},
    HubOption{
        "pin", "auto|on|off",
        "Keep each shard on its core; auto: on, unless workers on this machine (shm) would be "
        "left without a core",
        "auto", apply_pin},
    HubOption{"memory_limit", "SIZE|SHARE", "Memory for all jobs together", "50%",
              apply_memory_limit, kCanReload},
    HubOption{"job_memory_limit", "SIZE|SHARE", "Memory for any one job", "memory_limit",
              apply_job_memory_limit, kCanReload},
    HubOption{"jobs_max", "N", "Jobs at once", "64", apply_jobs_max, kCanReload},
    HubOption{"sessions_max", "N", "Connected ranks at once", "4096", apply_sessions_max,
              kCanReload},
    HubOption{"peer_timeout", "TIME", "A rank silent for this long is lost", "5s",
              apply_peer_timeout, kCanReload},
    HubOption{"join_timeout", "TIME", "A job must have all its ranks after this long", "60s",
              apply_join_timeout, kCanReload},
    HubOption{"stores", "auto|ordinary|non_temporal", "How results are written to memory", "auto",
              apply_stores},
    HubOption{"idle_spin", "TIME", "A shard without work polls this long before it sleeps", "50us",
              apply_idle_spin, kCanReload},
    HubOption{"tls_cert", "FILE", "The hub's certificate and its chain, PEM; for tls:// addresses",
              "none", apply_tls_cert},
    HubOption{"tls_key", "FILE", "The certificate's private key, PEM; not readable by everybody",
              "none", apply_tls_key},
    HubOption{"tls_client_ca", "FILE", "Only workers with a certificate of this CA may connect",
              "none", apply_tls_client_ca},
    HubOption{"admin_token_file", "FILE",
              "Its first line is needed to change anything over HTTP; none: nothing is", "none",
              apply_admin_token_file, kCanReload},
    HubOption{"allow_create", "yes|no", "The rank that joins first may create its job", "yes",
              apply_allow_create, kCanReload},
    HubOption{"log_level", "debug|info|warning|error", "What is logged", "info", apply_log_level,
              kCanReload},
    HubOption{"log_json", "yes|no", "Log lines as JSON objects", "no", apply_log_json, kCanReload},
};

// The devices' options come behind those of the other networks.
std::vector<HubOption> with_device_options() {
  std::vector<HubOption> all;
  for (const HubOption& option : kOptions) {
    all.push_back(option);
    if (option.name != "tcp_streams") continue;
    for (const DeviceOption& row : device_options()) {
      all.push_back({row.name, row.argument, row.help, row.fallback, nullptr, false, &row});
    }
  }
  return all;
}

}  // namespace

Result<base::LogLevel> parse_log_level(std::string_view text) {
  using base::LogLevel;
  return choose(text, std::array<std::pair<std::string_view, LogLevel>, 4>{
                          {{to_string(LogLevel::debug), LogLevel::debug},
                           {to_string(LogLevel::info), LogLevel::info},
                           {to_string(LogLevel::warning), LogLevel::warning},
                           {to_string(LogLevel::error), LogLevel::error}}});
}

std::span<const HubOption> hub_options() {
  static const std::vector<HubOption> all = with_device_options();
  return all;
}

const HubOption* find_hub_option(std::string_view name) {
  for (const HubOption& option : hub_options()) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

}  // namespace phub::config
