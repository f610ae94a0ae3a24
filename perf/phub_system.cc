// PHub itself: phubd processes and a worker process per rank, all on this machine.
#include <filesystem>
#include <thread>

#include "base/clock.h"
#include "base/try.h"
#include "perf/board.h"
#include "perf/machine.h"
#include "perf/socket_bytes.h"
#include "perf/started_hub.h"
#include "perf/system.h"

namespace phub::perf {
namespace {

std::vector<pid_t> ids_of(const std::vector<Process>& processes) {
  std::vector<pid_t> ids;
  for (const Process& process : processes) ids.push_back(process.id());
  return ids;
}

std::vector<pid_t> ids_of(const std::vector<StartedHub>& hubs) {
  std::vector<pid_t> ids;
  for (const StartedHub& hub : hubs) ids.push_back(hub.process.id());
  return ids;
}

uint64_t bytes_of(const std::vector<StartedHub>& hubs) {
  uint64_t sum = 0;
  for (const StartedHub& hub : hubs) sum += hub_bytes(hub.process.id());
  return sum;
}

double seconds_of(const std::vector<StartedHub>& hubs) {
  double sum = 0;
  for (const StartedHub& hub : hubs) sum += cpu_seconds(hub.process.id());
  return sum;
}

// What the parent does while the workers stand at their stops: the first is behind the warm-up, the
// second behind the last round.
class Observer {
 public:
  Observer(Board& board, std::vector<StartedHub>& hubs, const std::vector<Process>& workers,
           const RunOptions& options, Outcome& outcome)
      : board_(board), hubs_(hubs), workers_(workers), options_(options), outcome_(outcome) {}

  Status look() {
    for (StartedHub& hub : hubs_) {
      if (hub.process.exit_status()) return Status(Code::unavailable, "phubd has ended");
    }
    if (next_stop_ == 1 && (options_.warmup == 0 || board_.reached(1))) {
      outcome_.hub_warm_bytes = bytes_of(hubs_);
      PHUB_TRY_ASSIGN(hub_traffic_, tcp_bytes(ids_of(hubs_)));
      PHUB_TRY_ASSIGN(worker_traffic_, tcp_bytes(ids_of(workers_)));
      if (options_.warmup != 0) board_.resume(1);
      next_stop_ = 2;
    } else if (next_stop_ == 2 && board_.reached(options_.warmup == 0 ? 1 : 2)) {
      outcome_.hub_end_bytes = bytes_of(hubs_);
      PHUB_TRY(count_traffic());
      if (options_.idle_time.count() > 0) watch_idle();
      board_.resume(2);
      next_stop_ = 3;
    }
    return Status();
  }

 private:
  // Since the first stop.
  Status count_traffic() {
    PHUB_TRY_ASSIGN(outcome_.hub_traffic, tcp_bytes(ids_of(hubs_)));
    PHUB_TRY_ASSIGN(outcome_.worker_traffic, tcp_bytes(ids_of(workers_)));
    for (size_t i = 0; i < hub_traffic_.size(); ++i) outcome_.hub_traffic[i] -= hub_traffic_[i];
    for (size_t i = 0; i < worker_traffic_.size(); ++i) {
      outcome_.worker_traffic[i] -= worker_traffic_[i];
    }
    return Status();
  }

  // The workers sleep, connected: what the hubs use now they use for nothing.
  void watch_idle() {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // Until spinning has ended.
    const double before = seconds_of(hubs_);
    const base::Instant start = base::now();
    std::this_thread::sleep_for(options_.idle_time);
    const double seconds = static_cast<double>((base::now() - start).count()) / 1e9;
    outcome_.hub_idle_percent = 100 * (seconds_of(hubs_) - before) / seconds;
  }

  Board& board_;
  std::vector<StartedHub>& hubs_;
  const std::vector<Process>& workers_;
  const RunOptions& options_;
  Outcome& outcome_;
  std::vector<uint64_t> hub_traffic_;  // At the first stop.
  std::vector<uint64_t> worker_traffic_;
  uint32_t next_stop_ = 1;
};

class PhubSystem final : public System {
 public:
  explicit PhubSystem(std::string phubd) : phubd_(std::move(phubd)) {}

  std::string name() const override { return "phub"; }
  // "tcp-4": with four connections per link. "verbs-2x4": four queue pairs on each of two rails.
  std::string fabric(const Case& one) const override {
    std::string name = one.fabric;
    const bool has_streams = name == "tcp" || name == "tls";
    if (has_streams && one.tcp_streams > 1) return name + "-" + std::to_string(one.tcp_streams);
    if (name == "verbs" && one.rails * one.queue_pairs > 1) {
      return name + "-" + std::to_string(one.rails) + "x" + std::to_string(one.queue_pairs);
    }
    return name;
  }
  std::vector<std::string> algorithms() const override { return {"hub"}; }
  Status supports(const Case&) const override { return Status(); }

  Result<Outcome> run(const Case& one, const std::string&, const RunOptions& options) override {
    const Folder folder;
    if (folder.path().empty()) return Status(Code::resource_exhausted, "no temporary folder");
    PHUB_TRY_ASSIGN(const base::Fd output, make_output_file());
    PHUB_TRY_ASSIGN(std::vector<StartedHub> hubs, start_hubs(phubd_, one, folder.path(), output));
    PHUB_TRY_ASSIGN(Board board, Board::create(one.workers, options.rounds));

    Outcome outcome;
    outcome.hub_start_bytes = bytes_of(hubs);
    std::vector<Process> workers;
    for (uint32_t rank = 0; rank < one.workers; ++rank) {
      std::vector<std::string> argv = {
          "/proc/self/exe", "worker",      "--hub",    hubs_for(one, hubs, rank),
          "--board",        board.path(),  "--rank",   std::to_string(rank),
          "--folder",       folder.path(), "--warmup", std::to_string(options.warmup)};
      if (one.fabric == "tls") argv.insert(argv.end(), {"--tls-ca", folder.path() + "/hub.pem"});
      for (std::string& word : to_words(one)) argv.push_back(std::move(word));
      PHUB_TRY_ASSIGN(Process worker, Process::start(argv, output.get()));
      workers.push_back(std::move(worker));
    }
    Observer observer(board, hubs, workers, options, outcome);
    const Status status =
        watch(workers, board, output, options.timeout, [&] { return observer.look(); });
    for (StartedHub& hub : hubs) hub.process.stop(std::chrono::seconds(3));
    if (!status.ok()) return status;
    outcome.times_us = board.round_times_us();
    outcome.wrong = board.wrong();
    return outcome;
  }

 private:
  std::string phubd_;
};

}  // namespace

std::unique_ptr<System> make_phub_system(std::string phubd) {
  if (phubd.empty()) {
    phubd = program_folder() + "/phubd";
    // In a build tree the programs live in the folders of their rooms.
    if (!std::filesystem::exists(phubd)) phubd = program_folder() + "/../phub/phubd";
  }
  return std::make_unique<PhubSystem>(std::move(phubd));
}

}  // namespace phub::perf
