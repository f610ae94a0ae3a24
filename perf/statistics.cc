#include "perf/statistics.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace phub::perf {

double quantile(std::span<const double> samples, double q) {
  if (samples.empty()) return 0;
  std::vector<double> sorted(samples.begin(), samples.end());
  std::sort(sorted.begin(), sorted.end());
  const double position = std::ceil(q * static_cast<double>(sorted.size()));
  const size_t index = position < 1 ? 0 : static_cast<size_t>(position) - 1;
  return sorted[std::min(index, sorted.size() - 1)];
}

double median(std::span<const double> samples) {
  if (samples.empty()) return 0;
  std::vector<double> sorted(samples.begin(), samples.end());
  std::sort(sorted.begin(), sorted.end());
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

Bandwidth bandwidth(uint64_t bytes, uint32_t ranks, double time_us) {
  if (time_us <= 0 || ranks == 0) return {};
  Bandwidth result;
  result.alg = static_cast<double>(bytes) / time_us / 1e3;
  result.bus = result.alg * 2 * (ranks - 1) / ranks;
  result.hub = result.alg * ranks;
  return result;
}

}  // namespace phub::perf
