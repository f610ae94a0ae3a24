// How long pushes and pulls of many keys take through the ps-lite headers: a scheduler, servers and
// workers as processes on this machine, started by this program.
//
//   ps_bench --keys 10000000 --workers 2 --servers 1 --repeats 5
//
// Workers push and pull at once; a round lasts from the barrier before it until the slowest worker
// has its answer. The first round counts by itself: fresh memory costs more. Sums are checked.
#include <ps/ps.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

namespace {

using namespace ps;
using Clock = std::chrono::steady_clock;

struct Settings {
  int keys = 10'000'000;
  int workers = 2;
  int servers = 1;
  int repeats = 5;
};

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Keeps what was pushed last, as a store of dense values does: the transport is what is measured.
void keep_last(const KVMeta& meta, const KVPairs<float>& data, KVServer<float>* server) {
  static SArray<float> kept;
  KVPairs<float> answer;
  if (meta.push) kept = data.vals;
  if (meta.pull) {
    answer.keys = data.keys;
    answer.vals = kept.segment(0, data.keys.size());
  }
  server->Response(meta, answer);
}

void print_times(const char* what, std::vector<double> times) {
  const double first = times.front();
  std::sort(times.begin(), times.end());
  std::printf("%s first %.1f ms, median %.1f ms, best %.1f ms\n", what, first,
              times[times.size() / 2], times.front());
}

void run_worker(const Settings& settings) {
  KVWorker<float> worker(0, 0);
  std::vector<Key> keys(static_cast<size_t>(settings.keys));
  std::vector<float> vals(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    keys[i] = kMaxKey / keys.size() * i;
    vals[i] = static_cast<float>(i % 1000);
  }
  std::vector<double> pushes;
  std::vector<double> pulls;
  std::vector<float> got;
  for (int i = 0; i < settings.repeats; ++i) {
    Postoffice::Get()->Barrier(0, kWorkerGroup);
    Clock::time_point start = Clock::now();
    worker.Wait(worker.Push(keys, vals));
    Postoffice::Get()->Barrier(0, kWorkerGroup);
    pushes.push_back(milliseconds_since(start));
    start = Clock::now();
    worker.Wait(worker.Pull(keys, &got));
    Postoffice::Get()->Barrier(0, kWorkerGroup);
    pulls.push_back(milliseconds_since(start));
    CHECK(got == vals) << "wrong values came back";
  }
  if (MyRank() != 0) return;
  std::printf("%d keys of 8 bytes with values of 4, %d workers, %d servers, all values right\n",
              settings.keys, settings.workers, settings.servers);
  print_times("push", pushes);
  print_times("pull", pulls);
}

void run_role(const Settings& settings) {
  Start(0);
  std::unique_ptr<KVServer<float>> server;
  if (IsServer()) {
    server.reset(new KVServer<float>(0));
    server->set_request_handle(keep_last);
  }
  if (IsWorker()) run_worker(settings);
  Finalize(0, true);
}

pid_t start_role(const char* role, char** argv) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::setenv("DMLC_ROLE", role, 1);
  ::execv("/proc/self/exe", argv);
  ::_exit(127);
}

int start_all(const Settings& settings, char** argv) {
  ::setenv("DMLC_NUM_WORKER", std::to_string(settings.workers).c_str(), 1);
  ::setenv("DMLC_NUM_SERVER", std::to_string(settings.servers).c_str(), 1);
  ::setenv("DMLC_PS_ROOT_URI", "127.0.0.1", 1);
  // Above the ephemeral ports of most systems, and another for each run.
  ::setenv("DMLC_PS_ROOT_PORT", std::to_string(61'000 + ::getpid() % 4'000).c_str(), 1);
  int children = 1 + settings.servers + settings.workers;
  start_role("scheduler", argv);
  for (int i = 0; i < settings.servers; ++i) start_role("server", argv);
  for (int i = 0; i < settings.workers; ++i) start_role("worker", argv);
  int failures = 0;
  for (; children > 0; --children) {
    int status = 0;
    if (::wait(&status) < 0 || status != 0) ++failures;
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    int* const value = name == "--keys"      ? &settings.keys
                       : name == "--workers" ? &settings.workers
                       : name == "--servers" ? &settings.servers
                       : name == "--repeats" ? &settings.repeats
                                             : nullptr;
    if (value == nullptr || std::atoi(argv[i + 1]) < 1) {
      std::cerr << "usage: ps_bench [--keys N] [--workers N] [--servers N] [--repeats N]\n";
      return 2;
    }
    *value = std::atoi(argv[i + 1]);
  }
  if (::getenv("DMLC_ROLE") == nullptr) return start_all(settings, argv);
  run_role(settings);
  return 0;
}
