// The program a newcomer copies: every rank pushes a gradient and gets the sum of all.
//
//   phubd &
//   for rank in 0 1; do PHUB_RANK=$rank PHUB_SIZE=2 ./hello & done; wait
//
// Under mpirun, srun or torchrun rank and size are taken from the launcher.
#include <phub/worker.h>

#include <iostream>
#include <vector>

namespace {

phub::Status run() {
  phub::Result<phub::WorkerOptions> options = phub::WorkerOptions::from_environment();
  if (!options.ok()) return options.status();
  phub::Result<phub::Worker> worker = phub::Worker::connect(*options);
  if (!worker.ok()) return worker.status();

  // One tensor of a million float32; every rank registers the same.
  const size_t count = 1'000'000;
  std::vector<phub::TensorSpec> specs(1);
  specs[0].name = "gradient";
  specs[0].count = count;
  auto tensors = worker->register_tensors(specs);
  if (!tensors.ok()) return tensors.status();

  const float mine = static_cast<float>(index_of(worker->rank()) + 1);
  std::vector<float> gradient(count, mine);
  std::vector<float> sum(count);
  for (int step = 0; step < 10; ++step) {
    auto operation = worker->push_pull((*tensors)[0], gradient.data(), sum.data());
    if (!operation.ok()) return operation.status();
    // ... compute something else meanwhile ...
    if (phub::Status status = worker->wait(*operation); !status.ok()) return status;
  }
  std::cout << "rank " << index_of(worker->rank()) << " of " << worker->rank_count() << ": pushed "
            << mine << ", the sum of all is " << sum[0] << '\n';
  return worker->leave();
}

}  // namespace

int main() {
  const phub::Status status = run();
  if (!status.ok()) std::cerr << "hello: " << status.message() << '\n';
  return status.ok() ? 0 : 1;
}
