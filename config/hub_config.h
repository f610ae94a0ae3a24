// What phubd is told: command line over environment over configuration file, as one checked value.
//
//   phubd --config rack8.conf --shards 8     PHUBD_SHARDS=8 phubd     shards = 8   (in the file)
//
// Thread-safety: plain values; the functions may be called from any thread.
#pragma once

#include <phub/status.h>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/host_port.h"
#include "base/log.h"
#include "config/device_options.h"

namespace phub::config {

// How results are written; `automatic` leaves the choice to what was measured for the machine.
enum class StorePolicy : uint8_t { automatic = 0, ordinary, non_temporal };
std::string_view to_string(StorePolicy policy);

enum class Pinning : uint8_t { automatic = 0, on, off };

// Everything a hub needs to start. Defaults are resolved: nothing here means "decide later" except
// StorePolicy::automatic.
struct HubConfig {
  std::string listen = "shm:///tmp/phub.sock";
  std::optional<base::HostPort> http = base::HostPort{"127.0.0.1", 7070};  // Absent: no HTTP.
  uint32_t socket_mode = 0600;           // Of the sockets of shm:// addresses; who may write may
  std::optional<uint32_t> socket_group;  // connect. Absent: the group that the kernel gives them.
  uint32_t shards = 1;                   // At most the cores of the machine.
  Pinning pin = Pinning::automatic;
  bool is_pinned = false;  // What `pin` comes to here: each shard's thread stays on its core.
  uint64_t memory_limit_bytes = 0;
  uint64_t job_memory_limit_bytes = 0;  // At most memory_limit_bytes.
  uint32_t jobs_max = 64;
  uint32_t sessions_max = 4096;
  uint64_t peer_timeout_ms = 5'000;
  uint64_t join_timeout_ms = 60'000;
  std::string advertise;    // The host, interface or block that workers are told. Empty: none.
  uint16_t port_first = 0;  // Of the ports that links over TCP listen at; 0: any free one.
  uint16_t port_last = 0;
  uint32_t tcp_streams = 1;  // Connections of a link over TCP, 1 to 16.
  DeviceOptions devices;     // Of the fabrics verbs and dpdk.
  StorePolicy stores = StorePolicy::automatic;
  uint32_t idle_spin_us = 50;      // A shard without work polls this long before it sleeps.
  bool can_workers_create = true;  // The rank that joins first may create its job.
  // Files in PEM format. Certificate and key are there if and only if `listen` has a tls://
  // address.
  std::string tls_cert;
  std::string tls_key;
  std::string tls_client_ca;  // Empty: workers need no certificate.
  std::string admin_token;    // Empty: none. A secret: never print it.
  base::LogLevel log_level = base::LogLevel::info;
  bool is_log_json = false;
};

// The machine, as far as limits and defaults depend on it.
struct Machine {
  uint32_t core_count = 1;  // Cores this process may run on.
  uint64_t memory_bytes = 0;
};
Machine this_machine();

// An option as it holds.
struct HubSetting {
  std::string name;
  std::string text;         // As it was written; where it was not, the default in words.
  bool can_reload = false;  // Takes effect in a running hub.
};

// What the command line asks for.
struct HubCommand {
  HubConfig config;
  std::vector<HubSetting> settings;  // Every option, in the order of the manual.
  bool wants_help = false;           // Then config holds defaults.
  bool wants_version = false;        // Likewise.
  bool wants_config = false;         // The configuration as a file, instead of a hub.
  int ready_fd = -1;                 // A line is written here when the hub is ready.
};

// arguments: without the program's name. environment: "NAME=value" strings; only PHUBD_* are read.
// invalid_argument: unknown or wrong option; not_found: a file is missing. The message begins with
// the place: "rack8.conf:3: shards = 24, but ...", "--pin = maybe: ..." or "PHUBD_PIN = ...".
Result<HubCommand> parse_hub_command(std::span<const std::string> arguments,
                                     std::span<const std::string> environment,
                                     const Machine& machine);

// A phrase that fits behind `NAME = VALUE` if it is none.
Result<base::LogLevel> parse_log_level(std::string_view text);

// The text of a configuration file alone. `path` is for messages.
Result<HubConfig> parse_hub_file(std::string_view text, const std::string& path,
                                 const Machine& machine);

// For --help: every option with its default.
std::string hub_options_text();

// A configuration file that comes to `settings`: every option with its meaning, those that have
// their default as comments.
std::string hub_config_text(std::span<const HubSetting> settings);

// This process's environment, for parse_hub_command.
std::vector<std::string> this_environment();

}  // namespace phub::config
