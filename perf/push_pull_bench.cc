// One push_pull of 32 KiB from C++, started and waited for, again and again: what the bindings are
// compared with (perf/python/overhead.py). Hub and rank come from the environment.
//
//   push_pull_bench ROUNDS     prints the median time of a round in microseconds
#include <phub/worker.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

int report(const phub::Status& status) {
  std::fprintf(stderr, "push_pull_bench: %s\n", status.to_string().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1000;
  const auto options = phub::WorkerOptions::from_environment();
  if (!options.ok()) return report(options.status());
  auto worker = phub::Worker::connect(*options);
  if (!worker.ok()) return report(worker.status());
  phub::TensorSpec spec;
  spec.name = "t";
  spec.count = 8192;
  const auto memory = worker->allocate(spec.count * sizeof(float));
  if (!memory.ok()) return report(memory.status());
  const auto tensors = worker->register_tensors({&spec, 1});
  if (!tensors.ok()) return report(tensors.status());
  void* const result = worker->result((*tensors)[0]).data();
  std::vector<double> times;
  for (int round = 0; round < rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    const auto operation = worker->push_pull((*tensors)[0], memory->data(), result);
    if (!operation.ok()) return report(operation.status());
    const phub::Status done = worker->wait(*operation);
    if (!done.ok()) return report(done);
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - begin;
    times.push_back(time.count());
  }
  std::sort(times.begin(), times.end());
  std::printf("%.2f\n", times[times.size() / 2]);
  return 0;
}
