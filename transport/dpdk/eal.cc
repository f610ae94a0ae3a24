#include "transport/dpdk/eal.h"

#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "base/fd.h"

namespace phub::transport::dpdk {
namespace {

constexpr size_t kSaidBytesMax = 1500;
std::mutex said_mutex;
std::string said;

ssize_t hear(void*, const char* text, size_t bytes) {
  // What comes before DPDK aborts the process must be seen.
  if (::rte_log_cur_msg_loglevel() <= static_cast<int>(RTE_LOG_CRIT))
    (void)!::write(STDERR_FILENO, text, bytes);
  const std::scoped_lock lock(said_mutex);
  said.append(text, bytes);
  if (said.size() > kSaidBytesMax) said.erase(0, said.find('\n', said.size() - kSaidBytesMax) + 1);
  return static_cast<ssize_t>(bytes);
}

// DPDK's log would go to the program's terminal and to syslog. Only the last lines matter, and only
// when something fails.
void capture_log() {
  FILE* const stream = ::fopencookie(
      nullptr, "w", {.read = nullptr, .write = hear, .seek = nullptr, .close = nullptr});
  if (stream == nullptr) return;
  ::setvbuf(stream, nullptr, _IOLBF, 1024);
  ::rte_openlog_stream(stream);
  ::rte_log_set_global_level(RTE_LOG_NOTICE);
}

bool has(const std::vector<std::string>& arguments, std::string_view option) {
  return std::any_of(arguments.begin(), arguments.end(), [&](const std::string& argument) {
    return argument == option || argument.starts_with(std::string(option) + "=");
  });
}

// "0@(0,1,5)": one core in DPDK's sense, which may run wherever this process may.
std::string unpinned_core() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  ::sched_getaffinity(0, sizeof(cores), &cores);
  std::string list;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &cores)) list += (list.empty() ? "" : ",") + std::to_string(i);
  }
  return "0@(" + list + ")";
}

std::vector<std::string> complete(const std::vector<std::string>& given) {
  std::vector<std::string> all = {"phub"};
  if (!has(given, "-l") && !has(given, "-c") && !has(given, "--lcores")) {
    all.push_back("--lcores=" + unpinned_core());
  }
  if (!has(given, "--file-prefix") && !has(given, "--in-memory")) {
    all.push_back("--file-prefix=phub-" + std::to_string(::getpid()));
  }
  if (!has(given, "--telemetry")) all.push_back("--no-telemetry");
  const bool is_without_huge = has(given, "--no-huge");
  if (!is_without_huge && !has(given, "--in-memory") && !has(given, "--huge-unlink")) {
    all.push_back("--huge-unlink");  // A killed process must not keep its hugepages.
  }
  // Pages are taken when they are touched; DPDK's own 64 MB hold few jumbo frames.
  if (is_without_huge && !has(given, "-m")) all.insert(all.end(), {"-m", "1024"});
  all.insert(all.end(), given.begin(), given.end());
  return all;
}

uint64_t read_number(const std::filesystem::path& path) {
  uint64_t number = 0;
  std::ifstream(path) >> number;
  return number;
}

constexpr const char* kWithout =
    "; or go without them, somewhat slower, with DPDK's argument --no-huge";

// The two causes that nearly everybody meets first, said before DPDK says them in its own words.
Status check_hugepages(const std::vector<std::string>& given) {
  if (has(given, "--no-huge")) return {};
  std::error_code error;
  uint64_t all_count = 0, free_count = 0;
  for (const auto& size : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", error)) {
    all_count += read_number(size.path() / "nr_hugepages");
    free_count += read_number(size.path() / "free_hugepages");
  }
  if (free_count == 0) {
    const std::string state =
        all_count == 0 ? "none is reserved"
                       : "all " + std::to_string(all_count) + " that are reserved are in use";
    return Status(Code::failed_precondition,
                  "dpdk: no hugepage is free: " + state + "; as root run `echo " +
                      std::to_string(all_count + 512) +
                      " > /proc/sys/vm/nr_hugepages` (512 pages of 2 MiB for this process)" +
                      kWithout);
  }
  if (has(given, "--in-memory") || has(given, "--huge-dir")) return {};
  std::ifstream mounts("/proc/mounts");
  const std::string text((std::istreambuf_iterator<char>(mounts)), {});
  if (text.find(" hugetlbfs ") != std::string::npos) return {};
  return Status(Code::failed_precondition,
                std::string("dpdk: hugepages are reserved but not mounted; as root run `mkdir -p "
                            "/dev/hugepages && mount -t hugetlbfs none /dev/hugepages`") +
                    kWithout);
}

// On a thread of its own, which ends with it: DPDK pins and names the thread that starts it.
int run_eal_init(const std::vector<std::string>& arguments) {
  std::vector<std::string> copies = arguments;
  std::vector<char*> argv;
  for (std::string& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int result = -1;
  std::thread([&] {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, nullptr);  // DPDK's threads inherit it.
    result = ::rte_eal_init(static_cast<int>(copies.size()), argv.data());
  }).join();
  return result;
}

Status start(const std::vector<std::string>& given) {
  Status status = check_hugepages(given);
  if (!status.ok()) return status;
  capture_log();
  const std::vector<std::string> arguments = complete(given);
  if (run_eal_init(arguments) >= 0) return {};
  std::string line;
  for (const std::string& argument : arguments) line += " " + argument;
  return Status(Code::failed_precondition,
                "dpdk: the environment layer does not start with the arguments" + line +
                    "; it says:\n" + eal_says());
}

}  // namespace

std::string eal_says() {
  const std::scoped_lock lock(said_mutex);
  return said.empty() ? "nothing" : said;
}

Status start_eal(const std::vector<std::string>& arguments) {
  static std::mutex mutex;
  static bool is_started = false;
  static Status failure;  // DPDK cannot try twice.
  const std::scoped_lock lock(mutex);
  if (is_started || !failure.ok()) return failure;
  const Status status = start(arguments);
  is_started = status.ok();
  if (!status.ok() && rte_eal_process_type() == RTE_PROC_INVALID) failure = status;
  return status;
}

void adopt_thread() {
  struct Adopted {
    Adopted() { is_ours = ::rte_lcore_id() == LCORE_ID_ANY && ::rte_thread_register() == 0; }
    ~Adopted() {
      if (is_ours) ::rte_thread_unregister();
    }
    bool is_ours = false;
  };
  static thread_local const Adopted adopted;
  (void)adopted;
}

}  // namespace phub::transport::dpdk
