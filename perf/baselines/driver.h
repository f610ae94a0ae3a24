// What the drivers of other systems share: their options, and the loop around an all-reduce.
#pragma once

#include <phub/status.h>
#include <phub/types.h>

#include <cstddef>
#include <functional>
#include <span>
#include <string>

namespace phub::perf {

struct DriverOptions {
  std::string board;
  uint64_t bytes = 0;
  DataType type = DataType::fp32;
  ReduceOp op = ReduceOp::sum;
  uint32_t warmup = 0;
  uint32_t compute_us = 0;  // Slept before each all-reduce, inside the measured time.
  std::string algorithm;    // gloo only: Open MPI takes it from mpirun.
  std::string store;        // gloo only: folder where ranks find each other.
  uint32_t rank = 0;        // gloo only.
};

Result<DriverOptions> parse_driver_options(int argc, char** argv);

// How many ranks the board is for.
Result<uint32_t> rank_count_of(const DriverOptions& options);

// Runs all rounds of the board. `all_reduce` reads gradient and writes result, which may be the
// same memory.
Status drive(const DriverOptions& options, uint32_t rank, uint32_t rank_count,
             std::span<std::byte> gradient, std::span<std::byte> result,
             const std::function<Status()>& all_reduce);

}  // namespace phub::perf
