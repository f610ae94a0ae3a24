// A rank whose every result is checked, for the tests on real networks.
//
//   net_worker HUB JOB RANK SIZE ROUNDS ELEMENTS [hold]
//
// ROUNDS 0: without end. hold: behind "joined" it waits for SIGUSR1, and so do all others for it.
// Lines: "at HUB_ADDRESS", "joined", "round N" every 50 ms, "done MICROSECONDS" (a round, on
// average, while all ranks were there), "wrong ..." and exit status 4, "error CODE: MESSAGE" and
// exit status 3. PHUB_RDMA_* and PHUB_DPDK_* count.
#include <phub/worker.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

int say(int status, const char* format, auto... values) {
  std::printf(format, values...);
  std::fflush(stdout);
  return status;
}
int report(const phub::Status& status) { return say(3, "error %s\n", status.to_string().c_str()); }

float value_at(uint64_t rank, uint64_t round, uint64_t element) {
  return static_cast<float>((element * 3 + rank * 5 + round) % 7 + 1);
}

// Small integers: any order of adding gives the same sum. It repeats with every seventh element.
bool is_right(const std::vector<float>& sums, uint64_t ranks, uint64_t round) {
  float expected[7] = {};
  for (uint64_t rank = 0; rank < ranks; ++rank) {
    for (uint64_t i = 0; i < 7; ++i) expected[i] += value_at(rank, round, i);
  }
  for (uint64_t i = 0; i < sums.size(); ++i) {
    if (sums[i] != expected[i % 7]) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) return 2;
  const bool holds = argc > 7;
  sigset_t go;
  sigemptyset(&go);
  sigaddset(&go, SIGUSR1);
  if (holds) ::pthread_sigmask(SIG_BLOCK, &go, nullptr);  // Before any thread is there.
  const auto number = [argv](int i) { return std::strtoull(argv[i], nullptr, 10); };
  const uint64_t rank = number(3), size = number(4), rounds = number(5);
  phub::WorkerOptions options;
  options.hub = argv[1];
  options.job.name = argv[2];
  options.job.secret = "test secret";
  options.rank = phub::Rank{static_cast<uint16_t>(rank)};
  options.job.rank_count = static_cast<uint32_t>(size);
  options.join_timeout = std::chrono::seconds(60);
  if (const char* const ms = std::getenv("NET_WORKER_JOIN_MS")) {
    options.join_timeout = std::chrono::milliseconds(std::atoi(ms));
  }
  options.wait_timeout = std::chrono::seconds(60);
  const phub::Result<phub::WorkerOptions> surroundings = phub::WorkerOptions::from_environment();
  if (!surroundings.ok()) return report(surroundings.status());
  options.network = surroundings->network;  // Its RDMA devices.
  phub::Result<phub::Worker> worker = phub::Worker::connect(options);
  if (!worker.ok()) return report(worker.status());
  say(0, "at %s\n", worker->hub_address().c_str());
  std::vector<phub::TensorSpec> specs(2);
  specs[0].name = "large";
  specs[0].count = number(6);
  specs[1].name = "small";
  specs[1].count = 100;
  const auto tensors = worker->register_tensors(specs);
  if (!tensors.ok()) return report(tensors.status());
  say(0, "joined\n");
  int signal = 0;
  if (holds) ::sigwait(&go, &signal);
  if (const phub::Status together = worker->barrier(); !together.ok()) return report(together);
  std::vector<std::vector<float>> data = {std::vector<float>(specs[0].count),
                                          std::vector<float>(specs[1].count)};
  const Clock::time_point start = Clock::now();
  Clock::time_point said = start;
  for (uint64_t round = 1; rounds == 0 || round <= rounds; ++round) {
    for (size_t t = 0; t < 2; ++t) {
      for (uint64_t i = 0; i < data[t].size(); ++i) data[t][i] = value_at(rank, round, i);
      const auto pushed = worker->push_pull((*tensors)[t], data[t].data(), data[t].data());
      if (!pushed.ok()) return report(pushed.status());
    }
    if (const phub::Status done = worker->wait_all(); !done.ok()) return report(done);
    if (!is_right(data[0], size, round) || !is_right(data[1], size, round)) {
      return say(4, "wrong result of round %llu\n", static_cast<unsigned long long>(round));
    }
    if (Clock::now() - said < std::chrono::milliseconds(50)) continue;
    said = Clock::now();
    say(0, "round %llu\n", static_cast<unsigned long long>(round));
  }
  const auto time = Clock::now() - start;
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
  if (const phub::Status left = worker->leave(); !left.ok()) return report(left);
  return say(0, "done %lld\n", static_cast<long long>(us / static_cast<int64_t>(rounds)));
}
