// Goal: a rack's worth of workers at once is served, evenly, in the memory that the plan says.
// Method: one process for each rank on eight machines over one cable to the hub; every result is
// checked. Also a measurement: PHUB_NET_WORKERS=400 net_crowd_test prints what it took; only broad
// bounds are asserted, for a busy machine must pass.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "base/clock.h"
#include "tests/net/rack_fixture.h"

namespace phub::net {
namespace {

constexpr uint32_t kNodes = 8;
constexpr uint64_t kRounds = 20;
constexpr uint64_t kElements = 10'000;

// "VmRSS", "VmHWM": bytes of a process.
uint64_t memory_of(pid_t process, const std::string& field) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return std::stoull(line.substr(field.size() + 1)) * 1024;
  }
  return 0;
}

uint32_t worker_count() {
  const char* const text = std::getenv("PHUB_NET_WORKERS");
  return text == nullptr ? PHUB_TEST_CROWD : static_cast<uint32_t>(std::atoi(text));
}

class CrowdTest : public RackFixture {
 protected:
  uint64_t planned_bytes() {
    Child ctl({PHUB_TEST_PHUBCTL, "job", "crowd", "--json", "--http", "127.0.0.1:7070"},
              {hub_node_->network(), ""});
    const std::string line = ctl.wait_line("    \"total_bytes\": ", kPatience).value_or("0");
    return std::stoull(line.substr(line.find_first_of("0123456789")));
  }
  // The line that begins so, or the error that came instead.
  static std::string first_of(Child& worker, const std::string& prefix) {
    while (true) {
      const std::string line = worker.wait_line("", seconds(60)).value_or("silent");
      if (line.starts_with(prefix) || line.starts_with("error") || line == "silent") return line;
    }
  }
  double mib(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }
};

TEST_F(CrowdTest, TwoHundredWorkersAtOnceAreServedInThePlannedMemory) {
  // Whatever runs beside this needs its share of the cores to keep its deadlines; this has no
  // others.
  ASSERT_EQ(::setpriority(PRIO_PROCESS, 0, 19), 0);
  add_nodes(kNodes);
  const uint32_t count = worker_count();
  http_ = "127.0.0.1:7070";
  const Child hub = start_hub("tcp://eth0:7077", {"--peer-timeout", "60s"});
  const uint64_t idle_bytes = memory_of(hub.pid(), "VmRSS");
  const base::Instant start = base::now();
  std::vector<Child> workers;
  for (uint32_t rank = 0; rank < count; ++rank) {
    workers.push_back(start_worker(*nodes_[rank % kNodes], "10.77.0.1:7077", "crowd", rank, count,
                                   kRounds, kElements, rank == 0));
  }
  for (Child& worker : workers) {
    ASSERT_EQ(first_of(worker, "joined"), "joined");
  }
  const uint64_t planned = planned_bytes();
  workers[0].signal(SIGUSR1);  // Until now nobody has begun, or the job might be over.
  std::vector<double> times_us;
  for (Child& worker : workers) {
    const std::string line = first_of(worker, "done");
    ASSERT_THAT(line, testing::StartsWith("done"));
    times_us.push_back(std::atof(line.c_str() + 5));
  }
  const double wall_s = static_cast<double>((base::now() - start).count()) * 1e-9;
  const uint64_t took = memory_of(hub.pid(), "VmHWM") - idle_bytes;
  double sum = 0;
  for (const double time : times_us) sum += time;
  const double mean = sum / count;
  const double largest = *std::max_element(times_us.begin(), times_us.end());
  std::printf(
      "%u workers: %.1f s in all; a round %.1f ms, max/mean %.3f; hub %.1f MiB at its "
      "most, planned %.1f MiB\n",
      count, wall_s, mean * 1e-3, largest / mean, mib(took), mib(planned));
  EXPECT_LT(largest, 4 * mean);
  EXPECT_GT(planned, count * kElements * 4);
  EXPECT_LT(took, planned * PHUB_TEST_MEMORY_FACTOR);
}

}  // namespace
}  // namespace phub::net
