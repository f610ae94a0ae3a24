// Two result files against each other.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "perf/row.h"

namespace phub::perf {

struct Comparison {
  std::string text;     // A table: one line per pair, then those without a partner.
  uint32_t faster = 0;  // Pairs in which `after` is faster by more than the noise.
  uint32_t slower = 0;
  uint32_t unmatched = 0;
};

// Pairs rows with the same system, fabric, model, bytes, dtype, op, optimizer, workers, shards,
// chunk_bytes and stores; of several in one file the last counts.
Comparison compare(std::span<const Row> before, std::span<const Row> after, double noise_percent);

}  // namespace phub::perf
