#include "perf/form.h"

#include <algorithm>

namespace phub::perf {

std::string_view name_of(const Form& form) {
  if (form.is_colocated) return form.hubs == 1 ? "CC" : "CS";
  return form.hubs == 1 ? "NCC" : "NCS";
}

LinkBytes link_bytes(const Form& form, uint32_t workers, uint64_t bytes) {
  const double all = static_cast<double>(bytes);
  const double share = all / form.hubs;  // What one hub has of every gradient.
  if (!form.is_colocated) return {2 * share * workers, 2 * all};
  // The other workers' part of this host's hub, and its worker's part at the other hubs.
  const double hub_host = 2 * share * (workers - 1) + 2 * (all - share);
  return {hub_host, form.hubs < workers ? 2 * all : 0};
}

LinkBytes link_bytes(const Form& form, const std::vector<uint64_t>& hubs,
                     const std::vector<uint64_t>& workers, uint32_t exchanges) {
  LinkBytes result;
  for (size_t i = 0; i < std::max(hubs.size(), workers.size()); ++i) {
    const double hub = i < hubs.size() ? static_cast<double>(hubs[i]) / exchanges : 0;
    const double worker = i < workers.size() ? static_cast<double>(workers[i]) / exchanges : 0;
    const bool is_shared = form.is_colocated && i < hubs.size();
    if (i < hubs.size()) {
      result.hub_host = std::max(result.hub_host, is_shared ? hub + worker : hub);
    }
    if (!is_shared) result.worker_host = std::max(result.worker_host, worker);
  }
  return result;
}

}  // namespace phub::perf
