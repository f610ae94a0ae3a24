// Something that can exchange gradients: PHub, or an all-reduce to compare it with.
//
// A run starts all processes afresh, so that systems can take turns and none keeps another's cores
// or caches busy.
#pragma once

#include <phub/status.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "perf/case.h"
#include "perf/process.h"

namespace phub::perf {

struct RunOptions {
  uint32_t rounds = 10;  // Timed.
  uint32_t warmup = 3;
  std::chrono::seconds timeout{300};       // For one run; then it has failed.
  std::chrono::milliseconds idle_time{0};  // phub: watch the idle hub for so long at the end.
};

struct Outcome {
  std::vector<double> times_us;  // Per round: the slowest rank's.
  uint64_t wrong = 0;            // Elements, over all ranks and rounds.
  uint64_t hub_start_bytes = 0;  // phub: private memory of the hub; see Row.
  uint64_t hub_warm_bytes = 0;
  uint64_t hub_end_bytes = 0;
  double hub_idle_percent = -1;
  // phub: bytes over TCP in the timed rounds, both directions; by hub, and by rank.
  std::vector<uint64_t> hub_traffic;
  std::vector<uint64_t> worker_traffic;
};

class System {
 public:
  virtual ~System() = default;
  virtual std::string name() const = 0;
  virtual std::string fabric(const Case& one) const = 0;
  // Its algorithms that are worth trying; the first is its own choice.
  virtual std::vector<std::string> algorithms() const = 0;
  // unimplemented: the system has no such element type, reduction or optimizer.
  virtual Status supports(const Case& one) const = 0;
  virtual Result<Outcome> run(const Case& one, const std::string& algorithm,
                              const RunOptions& options) = 0;
};

// phubd: where the program is; empty: beside this program.
std::unique_ptr<System> make_phub_system(std::string phubd);
// By name: "openmpi" or "gloo". not_found: no such system, or its driver was not built.
Result<std::unique_ptr<System>> make_baseline(const std::string& name);

// What all runs share: waits until every process has ended well, calling `look` every few
// milliseconds. The first process that fails, or the deadline, fails the board (so that no rank
// waits on) and the run; the message ends with what the processes printed last.
class Board;
Status watch(std::vector<Process>& processes, Board& board, const base::Fd& output,
             std::chrono::seconds timeout, const std::function<Status()>& look);

}  // namespace phub::perf
