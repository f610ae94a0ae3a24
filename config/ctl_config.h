// What phubctl is told: a verb, the hub's HTTP address, and what the verb needs.
//
// Thread-safety: plain values; the functions may be called from any thread.
#pragma once

#include <phub/status.h>
#include <phub/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/host_port.h"

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
  stop,
  version,
  metrics,
  plan,
};
std::string_view to_string(CtlVerb verb);

// `phubctl plan`: a model and a machine that need not exist.
struct CtlPlan {
  std::string model_file;  // Lines of "tensor_name,element_count"; or
  uint64_t elements = 0;   // one tensor of that many.
  uint32_t rank_count = 0;
  uint32_t shards = 1;
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
  std::string token;   // Of the file --token-file. A secret: never print it.
  std::string secret;  // Of the file --secret-file; empty: the hub makes one.
  bool wants_json = false;
  CtlPlan plan;  // rank_count and chunk_elements also for create.
};

// invalid_argument: unknown verb or option, a wrong value, a missing or needless argument.
// not_found, permission_denied: a token or secret file.
Result<CtlCommand> parse_ctl_command(std::span<const std::string> arguments,
                                     std::span<const std::string> environment);

std::string ctl_usage();

}  // namespace phub::config
