// How hubs and workers lie on hosts, and what each host's link must carry.
//
//   NCC  dedicated hub, one          the appliance
//   NCS  dedicated hubs, several
//   CC   colocated, one              a hub on the first worker's host
//   CS   colocated, one per worker
//
// Source: Parameter Hub (Luo et al., SoCC 2018), its four configurations and their bounds.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace phub::perf {

struct Form {
  uint32_t hubs = 1;
  bool is_colocated = false;  // Hub i on worker i's host, who reaches it over shared memory.
};

// "NCC", "NCS", "CC" or "CS".
std::string_view name_of(const Form& form);

// Of one exchange of `bytes` per worker, both directions, frames and headers left out. Equal shares
// on the hubs; REQUIRES: colocated hubs are at most as many as workers.
struct LinkBytes {
  double hub_host = 0;     // The busiest host with a hub.
  double worker_host = 0;  // The busiest host with a worker only; 0: there is none.
};
LinkBytes link_bytes(const Form& form, uint32_t workers, uint64_t bytes);

// What was measured, over several exchanges: per process, sent and received.
LinkBytes link_bytes(const Form& form, const std::vector<uint64_t>& hubs,
                     const std::vector<uint64_t>& workers, uint32_t exchanges);

}  // namespace phub::perf
