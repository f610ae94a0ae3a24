// A worker process for the tests of failures: joins, exchanges round after round, and says on
// stdout what happens to it, one line each. TLS and devices as PHUB_TLS_CA, PHUB_DPDK_EAL, ... say.
//
//   test_worker HUB JOB RANK SIZE [SECRET [ADAM_ELEMENTS]]
//
// Lines: "joined", "round N" after every tenth round, "error CODE: MESSAGE" and exit status 3.
// Every rank pushes ones, so each sum must be SIZE.
#include <phub/worker.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

int report(const phub::Status& status) {
  std::printf("error %s\n", status.to_string().c_str());
  std::fflush(stdout);
  return 3;
}

bool is_all(const std::vector<float>& values, uint32_t wanted) {
  return std::all_of(values.begin(), values.end(),
                     [wanted](float value) { return value == static_cast<float>(wanted); });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  phub::WorkerOptions options;
  options.hub = argv[1];
  options.job.name = argv[2];
  options.job.secret = argc > 5 ? argv[5] : "test secret";
  options.rank = phub::Rank{static_cast<uint16_t>(std::atoi(argv[3]))};
  options.job.rank_count = static_cast<uint32_t>(std::atoi(argv[4]));
  const phub::Result<phub::WorkerOptions> given = phub::WorkerOptions::from_environment();
  if (!given.ok()) return report(given.status());
  options.tls_ca = given->tls_ca;
  options.tls_cert = given->tls_cert;
  options.tls_key = given->tls_key;
  options.network = given->network;
  options.join_timeout = std::chrono::seconds(30);
  options.wait_timeout = std::chrono::seconds(30);
  phub::Result<phub::Worker> worker = phub::Worker::connect(options);
  if (!worker.ok()) return report(worker.status());
  std::vector<phub::TensorSpec> specs(2);
  specs[0].name = "fc.weight";
  specs[0].count = 100'000;
  if (argc > 6) {  // A job that costs the hub twelve bytes per element.
    specs[0].count = static_cast<uint64_t>(std::atoll(argv[6]));
    specs[0].optimizer.kind = phub::OptimizerKind::adam;
  }
  specs[1].name = "fc.bias";
  specs[1].count = 100;
  const auto tensors = worker->register_tensors(specs);
  if (!tensors.ok()) return report(tensors.status());
  std::puts("joined");
  std::fflush(stdout);
  std::vector<std::vector<float>> gradients;
  for (const phub::TensorSpec& spec : specs) gradients.emplace_back(spec.count, 1.0f);
  const bool is_summed = argc <= 6;
  for (int round = 1;; ++round) {
    for (size_t i = 0; i < gradients.size(); ++i) {
      float* const data = gradients[i].data();
      const auto operation = worker->push_pull((*tensors)[i], data, data);
      if (!operation.ok()) return report(operation.status());
    }
    const phub::Status done = worker->wait_all();
    if (!done.ok()) return report(done);
    for (std::vector<float>& gradient : gradients) {
      if (is_summed && !is_all(gradient, options.job.rank_count)) {
        return report({phub::Code::internal, "a sum is wrong"});
      }
      std::fill(gradient.begin(), gradient.end(), 1.0f);
    }
    if (round % 10 == 0) {
      std::printf("round %d\n", round);
      std::fflush(stdout);
    }
  }
}
