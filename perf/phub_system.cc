// PHub itself: one phubd and a worker process per rank, all on this machine.
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <thread>

#include "base/clock.h"
#include "base/try.h"
#include "perf/board.h"
#include "perf/machine.h"
#include "perf/system.h"

namespace phub::perf {
namespace {

constexpr std::chrono::seconds kReadyTimeout{20};

// A folder of its own for the hub's socket, removed with what is in it.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "phub-perf-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// hub.pem and hub.key: a certificate for this run, which workers take for their CA, too.
Status make_certificate(const std::string& folder) {
  PHUB_TRY_ASSIGN(const base::Fd output, make_output_file());
  PHUB_TRY_ASSIGN(Process openssl,
                  Process::start({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                                  "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                                  "/CN=phub-perf", "-addext", "subjectAltName=IP:127.0.0.1",
                                  "-keyout", folder + "/hub.key", "-out", folder + "/hub.pem"},
                                 output.get()));
  const base::Instant deadline = base::now() + kReadyTimeout;
  while (!openssl.exit_status() && base::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  if (openssl.exit_status() == 0) return Status();
  return Status(Code::unavailable, "make a certificate: openssl said:\n" + tail_of(output));
}

// A hub that is ready for workers, and where.
struct StartedHub {
  Process process;
  std::string address;
};

Result<StartedHub> start_hub(const std::string& phubd, const std::string& listen, const Case& one,
                             const std::string& folder, const base::Fd& output) {
  int ends[2];
  if (pipe(ends) != 0) return Status(Code::resource_exhausted, "pipe: " + base::errno_text());
  const base::Fd reader(ends[0]);
  base::Fd writer(ends[1]);
  std::vector<std::string> argv = {phubd,
                                   "--listen",
                                   listen,
                                   "--http",
                                   "off",
                                   "--shards",
                                   std::to_string(one.shards),
                                   "--stores",
                                   one.stores,
                                   "--tcp-streams",
                                   std::to_string(one.tcp_streams),
                                   "--memory-limit",
                                   "90%",
                                   "--ready-fd",
                                   std::to_string(writer.get())};
  if (one.fabric == "tls") {
    argv.insert(argv.end(), {"--tls-cert", folder + "/hub.pem", "--tls-key", folder + "/hub.key"});
  }
  PHUB_TRY_ASSIGN(Process hub, Process::start(argv, output.get(), {writer.get()}));
  writer = base::Fd();  // Now only the hub holds that end: its death is an end of file here.
  pollfd readable = {reader.get(), POLLIN, 0};
  const int timeout_ms = static_cast<int>(std::chrono::milliseconds(kReadyTimeout).count());
  std::array<char, 512> line{};
  if (::poll(&readable, 1, timeout_ms) != 1 || read(reader.get(), line.data(), line.size()) <= 0) {
    hub.stop(std::chrono::milliseconds(300));
    return Status(Code::unavailable, phubd + " did not get ready; output:\n" + tail_of(output));
  }
  // "phubd 0.1.0 ready: ADDRESS, http off, 2 shards"
  const std::string_view text(line.data());
  const size_t begin = std::min(text.find("://"), text.size() - 3) - 3;
  return StartedHub{std::move(hub), std::string(text.substr(begin, text.find(',') - begin))};
}

// What the parent does while the workers stand at their stops.
class Observer {
 public:
  Observer(Board& board, Process& hub, const RunOptions& options, Outcome& outcome)
      : board_(board), hub_(hub), options_(options), outcome_(outcome) {}

  Status look() {
    if (hub_.exit_status()) return Status(Code::unavailable, "phubd has ended");
    if (next_stop_ == 1 && (options_.warmup == 0 || board_.reached(1))) {
      outcome_.hub_warm_bytes = hub_bytes(hub_.id());
      if (options_.warmup != 0) board_.resume(1);
      next_stop_ = 2;
    } else if (next_stop_ == 2 && board_.reached(options_.warmup == 0 ? 1 : 2)) {
      outcome_.hub_end_bytes = hub_bytes(hub_.id());
      if (options_.idle_time.count() > 0) watch_idle();
      board_.resume(2);
      next_stop_ = 3;
    }
    return Status();
  }

 private:
  // The workers sleep, connected: what the hub uses now it uses for nothing.
  void watch_idle() {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // Until spinning has ended.
    const double before = cpu_seconds(hub_.id());
    const base::Instant start = base::now();
    std::this_thread::sleep_for(options_.idle_time);
    const double seconds = static_cast<double>((base::now() - start).count()) / 1e9;
    outcome_.hub_idle_percent = 100 * (cpu_seconds(hub_.id()) - before) / seconds;
  }

  Board& board_;
  Process& hub_;
  const RunOptions& options_;
  Outcome& outcome_;
  uint32_t next_stop_ = 1;
};

class PhubSystem final : public System {
 public:
  explicit PhubSystem(std::string phubd) : phubd_(std::move(phubd)) {}

  std::string name() const override { return "phub"; }
  // "tcp-4": with four connections per link.
  std::string fabric(const Case& one) const override {
    const bool is_plural = one.fabric != "shm" && one.tcp_streams > 1;
    return one.fabric + (is_plural ? "-" + std::to_string(one.tcp_streams) : "");
  }
  std::vector<std::string> algorithms() const override { return {"hub"}; }
  Status supports(const Case&) const override { return Status(); }

  Result<Outcome> run(const Case& one, const std::string&, const RunOptions& options) override {
    const Folder folder;
    if (folder.path().empty()) return Status(Code::resource_exhausted, "no temporary folder");
    PHUB_TRY_ASSIGN(const base::Fd output, make_output_file());
    const bool is_local = one.fabric == "shm";
    const std::string listen =
        is_local ? "shm://" + folder.path() + "/hub.sock" : one.fabric + "://127.0.0.1:0";
    if (one.fabric == "tls") PHUB_TRY(make_certificate(folder.path()));
    PHUB_TRY_ASSIGN(StartedHub started, start_hub(phubd_, listen, one, folder.path(), output));
    Process& hub = started.process;
    PHUB_TRY_ASSIGN(Board board, Board::create(one.workers, options.rounds));

    Outcome outcome;
    outcome.hub_start_bytes = hub_bytes(hub.id());
    std::vector<Process> workers;
    for (uint32_t rank = 0; rank < one.workers; ++rank) {
      std::vector<std::string> argv = {"/proc/self/exe", "worker",
                                       "--hub",          started.address,
                                       "--board",        board.path(),
                                       "--rank",         std::to_string(rank),
                                       "--warmup",       std::to_string(options.warmup)};
      if (one.fabric == "tls") argv.insert(argv.end(), {"--tls-ca", folder.path() + "/hub.pem"});
      for (std::string& word : to_words(one)) argv.push_back(std::move(word));
      PHUB_TRY_ASSIGN(Process worker, Process::start(argv, output.get()));
      workers.push_back(std::move(worker));
    }
    Observer observer(board, hub, options, outcome);
    const Status status =
        watch(workers, board, output, options.timeout, [&] { return observer.look(); });
    hub.stop(std::chrono::seconds(3));
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
