// A worker process for the tests of failures: joins, exchanges round after round, and says on
// stdout what happens to it, one line each. TLS as PHUB_TLS_CA, PHUB_TLS_CERT, PHUB_TLS_KEY say.
//
//   test_worker HUB JOB RANK SIZE [SECRET [ADAM_ELEMENTS]]
//
// Lines: "joined", "round N" after every tenth round, "error CODE: MESSAGE" and exit status 3.
#include <phub/worker.h>

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

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  phub::WorkerOptions options;
  options.hub = argv[1];
  options.job.name = argv[2];
  options.job.secret = argc > 5 ? argv[5] : "test secret";
  options.rank = phub::Rank{static_cast<uint16_t>(std::atoi(argv[3]))};
  options.job.rank_count = static_cast<uint32_t>(std::atoi(argv[4]));
  const auto file = [](const char* name) {
    const char* const path = std::getenv(name);
    return std::string(path == nullptr ? "" : path);
  };
  options.tls_ca = file("PHUB_TLS_CA");
  options.tls_cert = file("PHUB_TLS_CERT");
  options.tls_key = file("PHUB_TLS_KEY");
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
  std::vector<float> gradient(specs[0].count, 1.0f);
  for (int round = 1;; ++round) {
    for (const phub::TensorId tensor : *tensors) {
      const auto operation = worker->push_pull(tensor, gradient.data(), gradient.data());
      if (!operation.ok()) return report(operation.status());
    }
    const phub::Status done = worker->wait_all();
    if (!done.ok()) return report(done);
    std::fill(gradient.begin(), gradient.end(), 1.0f);
    if (round % 10 == 0) {
      std::printf("round %d\n", round);
      std::fflush(stdout);
    }
  }
}
