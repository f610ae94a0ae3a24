// Open MPI's and Gloo's all-reduce, run by the small drivers of perf/baselines: the same bytes,
// ranks and barrier; a model's tensors as one fused buffer, which is these systems' best case.
#include <unistd.h>

#include <filesystem>
#include <map>

#include "base/thread.h"
#include "base/try.h"
#include "perf/board.h"
#include "perf/system.h"

namespace phub::perf {
namespace {

Status unsupported(const std::string& name, const std::string& what) {
  return Status(Code::unimplemented, name + " has no all-reduce of " + what);
}

Status check_common(const std::string& name, const Case& one) {
  if (one.optimizer.kind != OptimizerKind::none) return unsupported(name, "an optimizer");
  if (one.op == ReduceOp::mean) return unsupported(name, "mean");
  if (one.type == DataType::bf16) return unsupported(name, "bf16");
  return Status();
}

std::vector<std::string> driver_words(const std::string& driver, const Case& one,
                                      const Board& board, const RunOptions& options) {
  return {program_folder() + "/" + driver,
          "--board",
          board.path(),
          "--bytes",
          std::to_string(one.bytes()),
          "--dtype",
          std::string(to_string(one.type)),
          "--op",
          std::string(to_string(one.op)),
          "--warmup",
          std::to_string(options.warmup),
          "--compute-us",
          std::to_string(one.compute_us_total())};
}

Result<Outcome> finish_run(std::vector<Process>& processes, Board& board, const base::Fd& output,
                           const RunOptions& options) {
  PHUB_TRY(watch(processes, board, output, options.timeout, [] { return Status(); }));
  Outcome outcome;
  outcome.times_us = board.round_times_us();
  outcome.wrong = board.wrong();
  return outcome;
}

class OpenMpi final : public System {
 public:
  std::string name() const override { return "openmpi"; }
  std::string fabric(const Case&) const override { return "shm"; }
  std::vector<std::string> algorithms() const override {
    return {"default", "recursive_doubling", "ring", "segmented_ring", "rabenseifner"};
  }
  Status supports(const Case& one) const override {
    if (one.type == DataType::fp16) return unsupported(name(), "fp16");
    return check_common(name(), one);
  }

  Result<Outcome> run(const Case& one, const std::string& algorithm,
                      const RunOptions& options) override {
    PHUB_TRY_ASSIGN(const base::Fd output, make_output_file());
    PHUB_TRY_ASSIGN(Board board, Board::create(one.workers, options.rounds));
    std::vector<std::string> argv = {"mpirun", "-np", std::to_string(one.workers),
                                     "--oversubscribe"};
    if (geteuid() == 0) argv.push_back("--allow-run-as-root");
    // Numbers of Open MPI's tuned component (coll_tuned_allreduce_decision).
    static const std::map<std::string, const char*> numbers = {
        {"recursive_doubling", "3"}, {"ring", "4"}, {"segmented_ring", "5"}, {"rabenseifner", "6"}};
    const auto number = numbers.find(algorithm);
    if (number != numbers.end()) {
      for (const char* word : {"--mca", "coll_tuned_use_dynamic_rules", "1", "--mca",
                               "coll_tuned_allreduce_algorithm", number->second}) {
        argv.push_back(word);
      }
    }
    for (std::string& word : driver_words("phub-perf-openmpi", one, board, options)) {
      argv.push_back(std::move(word));
    }
    std::vector<Process> processes;
    PHUB_TRY_ASSIGN(Process process, Process::start(argv, output.get()));
    processes.push_back(std::move(process));
    return finish_run(processes, board, output, options);
  }
};

class Gloo final : public System {
 public:
  std::string name() const override { return "gloo"; }
  std::string fabric(const Case&) const override { return "tcp"; }
  std::vector<std::string> algorithms() const override {
    return {"ring_chunked", "ring", "halving_doubling", "bcube"};
  }
  Status supports(const Case& one) const override { return check_common(name(), one); }

  Result<Outcome> run(const Case& one, const std::string& algorithm,
                      const RunOptions& options) override {
    PHUB_TRY_ASSIGN(const base::Fd output, make_output_file());
    PHUB_TRY_ASSIGN(Board board, Board::create(one.workers, options.rounds));
    const std::string store = board.path() + "-store";  // Where the ranks find each other.
    std::filesystem::create_directory(store);
    std::vector<Process> processes;
    Status status;
    for (uint32_t rank = 0; rank < one.workers && status.ok(); ++rank) {
      std::vector<std::string> argv = driver_words("phub-perf-gloo", one, board, options);
      for (const std::string& word : {std::string("--algorithm"), algorithm, std::string("--store"),
                                      store, std::string("--rank"), std::to_string(rank)}) {
        argv.push_back(word);
      }
      Result<Process> process = Process::start(argv, output.get());
      status = process.status();
      if (process.ok()) processes.push_back(*std::move(process));
    }
    Result<Outcome> outcome =
        status.ok() ? finish_run(processes, board, output, options) : Result<Outcome>(status);
    std::error_code ignored;
    std::filesystem::remove_all(store, ignored);
    return outcome;
  }
};

}  // namespace

Result<std::unique_ptr<System>> make_baseline(const std::string& name) {
  std::unique_ptr<System> system;
  if (name == "openmpi") system = std::make_unique<OpenMpi>();
  if (name == "gloo") system = std::make_unique<Gloo>();
  if (system == nullptr) {
    return Status(Code::not_found, "--vs = " + name + ": want openmpi or gloo");
  }
  const std::string driver = program_folder() + "/phub-perf-" + name;
  if (!std::filesystem::exists(driver)) {
    return Status(Code::not_found, "--vs = " + name + ": no driver " + driver +
                                       "; it is built where the system's development package is "
                                       "installed");
  }
  return system;
}

}  // namespace phub::perf
