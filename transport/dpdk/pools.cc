#include "transport/dpdk/pools.h"

#include <rte_errno.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

#include "transport/dpdk/eal.h"

namespace phub::transport::dpdk {
namespace {

constexpr unsigned kThreadCache = 256;

struct Stored {
  rte_mempool* pool = nullptr;
  uint32_t buffer_count = 0;
  uint16_t buffer_bytes = 0;
  int socket = 0;
  bool has_cache = true;
  bool is_taken = false;
};
std::mutex mutex;
std::vector<Stored>& store() {
  static auto* const all = new std::vector<Stored>();  // Outlives whoever gives back at exit.
  return *all;
}

void give_back(rte_mempool* pool) {
  const std::scoped_lock lock(mutex);
  for (Stored& stored : store()) {
    if (stored.pool == pool) stored.is_taken = false;
  }
}

}  // namespace

Result<Pool> take_pool(uint32_t buffer_count, uint16_t buffer_bytes, int socket, bool has_cache) {
  const std::scoped_lock lock(mutex);
  for (Stored& stored : store()) {
    if (stored.is_taken || stored.buffer_count != buffer_count ||
        stored.buffer_bytes != buffer_bytes || stored.socket != socket ||
        stored.has_cache != has_cache) {
      continue;
    }
    stored.is_taken = true;
    return Pool(stored.pool, give_back);
  }
  const std::string name = "phub_pool_" + std::to_string(store().size());
  rte_mempool* const pool = ::rte_pktmbuf_pool_create(
      name.c_str(), buffer_count, has_cache ? kThreadCache : 0, 0, buffer_bytes, socket);
  if (pool == nullptr) {
    const size_t mib = (size_t{buffer_count} * (buffer_bytes + sizeof(rte_mbuf)) >> 20) + 1;
    return Status(Code::resource_exhausted,
                  "dpdk: no memory for " + std::to_string(buffer_count) + " packet buffers, " +
                      std::to_string(mib) + " MiB in all: " + ::rte_strerror(rte_errno) +
                      "; reserve more hugepages, or raise DPDK's argument -m with --no-huge");
  }
  store().push_back({pool, buffer_count, buffer_bytes, socket, has_cache, true});
  return Pool(pool, give_back);
}

}  // namespace phub::transport::dpdk
