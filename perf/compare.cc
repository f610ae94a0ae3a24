#include "perf/compare.h"

#include <cstdio>
#include <map>

namespace phub::perf {
namespace {

std::string key_of(const Row& row) {
  std::string key = row.system + ' ' + row.fabric + ' ' + row.model + ' ' +
                    std::to_string(row.bytes) + ' ' + row.dtype + ' ' + row.op + ' ' +
                    row.optimizer + " n=" + std::to_string(row.workers);
  if (row.shards > 0) {
    key += " shards=" + std::to_string(row.shards) + " chunk=" + std::to_string(row.chunk_bytes) +
           ' ' + row.stores;
  }
  if (row.compute_us > 0) key += " compute=" + std::to_string(row.compute_us);
  return key;
}

}  // namespace

Comparison compare(std::span<const Row> before, std::span<const Row> after, double noise_percent) {
  std::map<std::string, std::pair<const Row*, const Row*>> pairs;
  for (const Row& row : before) pairs[key_of(row)].first = &row;
  for (const Row& row : after) pairs[key_of(row)].second = &row;
  Comparison result;
  result.text = "#   p50 A (us)    p50 B (us)   speedup  what\n";
  std::string unmatched;
  for (const auto& [key, pair] : pairs) {
    const auto& [a, b] = pair;
    if (a == nullptr || b == nullptr || a->time_us_p50 <= 0 || b->time_us_p50 <= 0) {
      unmatched += std::string("# only in ") + (b == nullptr ? "A: " : "B: ") + key + "\n";
      ++result.unmatched;
      continue;
    }
    const double speedup = a->time_us_p50 / b->time_us_p50;
    const double margin = 1 + noise_percent / 100;
    const bool is_faster = speedup > margin;
    const bool is_slower = speedup < 1 / margin;
    result.faster += is_faster ? 1 : 0;
    result.slower += is_slower ? 1 : 0;
    char line[120];
    std::snprintf(line, sizeof(line), "%14.1f %13.1f %8.2fx%c ", a->time_us_p50, b->time_us_p50,
                  speedup,
                  is_faster   ? '+'
                  : is_slower ? '-'
                              : ' ');
    result.text += line + key + "\n";
  }
  result.text += unmatched + "# " + std::to_string(result.faster) + " faster, " +
                 std::to_string(result.slower) + " slower, " + std::to_string(result.unmatched) +
                 " without a partner\n";
  return result;
}

}  // namespace phub::perf
