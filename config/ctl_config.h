// What phubctl is told: a verb, the hub's HTTP address, and what the verb needs.
//
// Thread-safety: plain values; the functions may be called from any thread.
#pragma once

#include <phub/status.h>
#include <phub/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/host_port.h"
#include "base/log.h"

namespace phub::config {

enum class CtlVerb : uint8_t {
  help = 0,
  status,
  jobs,
  job,
  map,
  late,
  create,
  remove,
  drain,
  undrain,
  stop,
  reload,
  log_level,
  top,
  doctor,
  version,
  metrics,
  plan,
};
std::string_view to_string(CtlVerb verb);

// `phubctl plan`, and `map` without a job: a model and a machine that need not exist.
struct CtlPlan {
  std::string model_file;  // Lines of "tensor_name,element_count"; or
  uint64_t elements = 0;   // one tensor of that many.
  uint32_t rank_count = 0;
  std::string machine;  // hwloc's text ("pack:2 core:14"), or the path of its XML. Empty: sockets.
  uint32_t shards = 1;  // 0: every core of `machine`.
  uint32_t hubs = 1;    // Each with these shards, NICs and sockets.
  uint32_t nics = 0;
  uint32_t sockets = 1;
  uint32_t chunk_elements = 8192;
  DataType type = DataType::fp32;
  OptimizerKind optimizer = OptimizerKind::none;
  bool wants_chunks = false;  // The whole map, a chunk a line.
};

struct CtlCommand {
  CtlVerb verb = CtlVerb::help;
  std::string job;  // For job, map, late, create, remove.
  base::HostPort http{"127.0.0.1", 7070};
  bool is_http_given = false;               // By --http or PHUB_HTTP.
  std::string hub;                          // Of --hub or PHUB_HUB, for doctor; empty: none.
  std::optional<base::LogLevel> log_level;  // Absent: ask which it is.
  bool wants_wait = false;                  // drain: until the hub has ended,
  std::optional<uint64_t> wait_ms;          // at most this long.
  uint64_t interval_ms = 1000;              // Of top.
  bool is_once = false;                     // top: one table, then the end.
  std::string token;                        // Of the file --token-file. A secret: never print it.
  std::string secret;                       // Of the file --secret-file; empty: the hub makes one.
  bool wants_json = false;
  CtlPlan plan;  // rank_count and chunk_elements also for create.
};

// invalid_argument: unknown verb or option, a wrong value, a missing or needless argument.
// not_found, permission_denied: a token or secret file.
Result<CtlCommand> parse_ctl_command(std::span<const std::string> arguments,
                                     std::span<const std::string> environment);

std::string ctl_usage();

}  // namespace phub::config
