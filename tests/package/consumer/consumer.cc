// A trainer that knows nothing but the installed package; there is no hub for it to find.
#include <phub/worker.h>

#include <chrono>
#include <iostream>

int main() {
  phub::WorkerOptions options;
  options.hub = "shm:///nonexistent/phub.sock";
  options.job.rank_count = 1;
  options.join_timeout = std::chrono::milliseconds(100);
  const auto worker = phub::Worker::connect(options);
  std::cout << "connect without a hub: " << worker.status().to_string() << '\n';
  return worker.status().code() == phub::Code::unavailable ? 0 : 1;
}
