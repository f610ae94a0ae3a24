#include "perf/dpdk_roof.h"

#include <cstdlib>
#include <thread>

#include "base/clock.h"
#include "base/try.h"
#include "perf/medium.h"
#include "perf/process.h"

namespace phub::perf {
namespace {

constexpr const char* kSeconds = "0.5";
constexpr std::chrono::seconds kTimeout{30};

}  // namespace

Result<double> dpdk_roof_us(uint64_t bytes, uint32_t workers, uint64_t frame_bytes) {
  PHUB_TRY_ASSIGN(const base::Fd output, make_output_file());
  const uint64_t frame = frame_bytes == 0 ? kMemifBufferBytes : frame_bytes;
  PHUB_TRY_ASSIGN(Process pump, Process::start({program_folder() + "/phub-dpdk-pump", "bare",
                                                std::to_string(frame), kSeconds},
                                               output.get()));
  const base::Instant deadline = base::now() + kTimeout;
  while (!pump.exit_status() && base::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  // "bare 12.34 GB/s"
  const std::string said = tail_of(output);
  const size_t unit = said.find(" GB/s");
  const size_t number = unit == said.npos ? said.npos : said.rfind(' ', unit - 1);
  const double rate = number == said.npos ? 0 : std::atof(said.c_str() + number);
  if (pump.exit_status() != 0 || rate <= 0) {
    return Status(Code::unavailable, "phub-dpdk-pump did not measure; it said:\n" + said);
  }
  return 2.0 * static_cast<double>(workers) * static_cast<double>(bytes) / rate / 1e3;
}

}  // namespace phub::perf
