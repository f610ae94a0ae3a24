// WorkerOptions from the environment: PHub's own variables first, then the launchers'.
//
// Strict: a value that is set is right or is refused by name. Where no launcher says both, one that
// says half (a rank without a size) is refused too: guessing the other half ends in a hung job.
#include <phub/worker.h>

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/try.h"
#include "config/device_options.h"
#include "worker_lib/open_hubs.h"

namespace phub {
namespace {

struct Variable {
  const char* name = nullptr;
  const char* value = nullptr;  // Null: not set.
};

Variable variable(const char* name) { return {name, std::getenv(name)}; }

Status malformed(const Variable& v, const std::string& want) {
  return Status(Code::invalid_argument, "environment variable " + std::string(v.name) + " is \"" +
                                            v.value + "\"; want " + want);
}

// Decimal digits only, within [low, high].
Result<uint64_t> number(const Variable& v, uint64_t low, uint64_t high) {
  const std::string_view text = v.value;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    return malformed(v,
                     "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return value;
}

// Where one launcher says rank and size; the rank may have an older name. Inner ones first: what
// mpirun or torchrun start inside a step of Slurm inherits the step's variables.
struct Launcher {
  const char* rank;
  const char* older_rank;
  const char* size;
};
constexpr Launcher kLaunchers[] = {
    {"PHUB_RANK", nullptr, "PHUB_SIZE"},
    {"OMPI_COMM_WORLD_RANK", nullptr, "OMPI_COMM_WORLD_SIZE"},
    {"RANK", nullptr, "WORLD_SIZE"},
    {"SLURM_PROCID", nullptr, "SLURM_NTASKS"},
    {"DMLC_WORKER_ID", "DMLC_RANK", "DMLC_NUM_WORKER"},
};

// Scripts export WORLD_SIZE for a trainer that takes its rank from Slurm: half of one launcher
// counts only when there is no other.
Status read_rank_and_size(WorkerOptions* options) {
  Status half;
  for (const Launcher& launcher : kLaunchers) {
    Variable rank = variable(launcher.rank);
    if (rank.value == nullptr && launcher.older_rank != nullptr) {
      const Variable older = variable(launcher.older_rank);
      if (older.value != nullptr) rank = older;
    }
    const Variable size = variable(launcher.size);
    if (rank.value == nullptr && size.value == nullptr) continue;
    if (rank.value == nullptr || size.value == nullptr) {
      const Variable& set = rank.value == nullptr ? size : rank;
      const Variable& missing = rank.value == nullptr ? rank : size;
      if (!half.ok()) continue;
      half = Status(Code::invalid_argument, "environment variable " + std::string(set.name) +
                                                " is set but " + missing.name +
                                                " is not; set both or neither");
      if (&launcher == kLaunchers) return half;  // PHub's own are meant for PHub.
      continue;
    }
    PHUB_TRY_ASSIGN(const uint64_t rank_count, number(size, 1, kRankCountMax));
    PHUB_TRY_ASSIGN(const uint64_t index, number(rank, 0, rank_count - 1));
    options->job.rank_count = static_cast<uint32_t>(rank_count);
    options->rank = Rank{static_cast<uint16_t>(index)};
    return {};
  }
  return half;  // Ok: nobody said anything, and connect() will ask for a size.
}

Status read_secret(std::string* secret) {
  const Variable text = variable("PHUB_SECRET");
  const Variable file = variable("PHUB_SECRET_FILE");
  if (text.value != nullptr && file.value != nullptr) {
    return Status(Code::invalid_argument,
                  "environment variables PHUB_SECRET and PHUB_SECRET_FILE are both set; unset one");
  }
  if (text.value != nullptr) *secret = text.value;
  if (file.value == nullptr) return {};
  std::ifstream stream(file.value, std::ios::binary);
  if (!stream) return malformed(file, "the path of a readable file");
  secret->assign(std::istreambuf_iterator<char>(stream), {});
  // Editors and `echo` end the file with a line break that nobody means.
  while (!secret->empty() && (secret->back() == '\n' || secret->back() == '\r')) secret->pop_back();
  return {};
}

Status read_progress(Progress* progress) {
  const Variable v = variable("PHUB_PROGRESS");
  if (v.value == nullptr) return {};
  const std::string_view text = v.value;
  if (text == "auto" || text == "automatic") {
    *progress = Progress::automatic;
  } else if (text == "caller" || text == "none") {
    *progress = Progress::caller;
  } else if (text == "thread") {
    *progress = Progress::thread;
  } else {
    return malformed(v, "auto, caller or thread");
  }
  return {};
}

Status read_timeout(const char* name, std::chrono::milliseconds* timeout) {
  const Variable v = variable(name);
  if (v.value == nullptr) return {};
  PHUB_TRY_ASSIGN(const uint64_t ms, number(v, 1, 1'000'000'000));
  *timeout = std::chrono::milliseconds(ms);
  return {};
}

Status read_hub_and_job(WorkerOptions* options) {
  if (const Variable v = variable("PHUB_HUB"); v.value != nullptr) {
    const Status address = client::split_hubs(v.value).status();
    if (!address.ok()) return address.with_context("environment variable PHUB_HUB");
    options->hub = v.value;
  }
  if (const Variable v = variable("PHUB_JOB"); v.value != nullptr) {
    if (*v.value == '\0') return malformed(v, "1 to 64 of [A-Za-z0-9._-]");
    options->job.name = v.value;
  }
  if (const Variable v = variable("PHUB_CHUNK_ELEMENTS"); v.value != nullptr) {
    PHUB_TRY_ASSIGN(const uint64_t elements, number(v, 64, 4'194'304));
    if (elements % 64 != 0) return malformed(v, "a multiple of 64 from 64 to 4194304");
    options->job.chunk_elements = static_cast<uint32_t>(elements);
  }
  return {};
}

Status read_tls(WorkerOptions* options) {
  const std::pair<const char*, std::string*> files[] = {{"PHUB_TLS_CA", &options->tls_ca},
                                                        {"PHUB_TLS_CERT", &options->tls_cert},
                                                        {"PHUB_TLS_KEY", &options->tls_key}};
  for (const auto& [name, file] : files) {
    const Variable v = variable(name);
    if (v.value == nullptr) continue;
    if (*v.value == '\0') return malformed(v, "the path of a file, or the variable unset");
    *file = v.value;
  }
  return {};
}

// The texts are kept; that they are right is known now, where the variable can be named.
Status read_network(std::map<std::string, std::string>* network) {
  for (const config::DeviceOption& option : config::device_options()) {
    const std::string name = config::worker_variable(option);
    const char* const value = std::getenv(name.c_str());
    if (value == nullptr) continue;
    config::DeviceOptions checked;
    const Status status = value == option.fallback ? Status() : option.apply(value, checked);
    if (!status.ok()) {
      return Status(status.code(),
                    "environment variable " + name + " = " + value + status.message());
    }
    (*network)[std::string(option.name)] = value;
  }
  return config::parse_device_options(*network).status();
}

}  // namespace

Result<WorkerOptions> WorkerOptions::from_environment() {
  WorkerOptions options;
  PHUB_TRY(read_hub_and_job(&options));
  PHUB_TRY(read_secret(&options.job.secret));
  PHUB_TRY(read_rank_and_size(&options));
  PHUB_TRY(read_progress(&options.progress));
  PHUB_TRY(read_tls(&options));
  PHUB_TRY(read_network(&options.network));
  PHUB_TRY(read_timeout("PHUB_JOIN_TIMEOUT_MS", &options.join_timeout));
  PHUB_TRY(read_timeout("PHUB_WAIT_TIMEOUT_MS", &options.wait_timeout));
  return options;
}

}  // namespace phub
