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
  PoolShape shape;
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

Result<Pool> take_pool(const PoolShape& shape) {
  const std::scoped_lock lock(mutex);
  for (Stored& stored : store()) {
    if (stored.is_taken || stored.shape != shape) continue;
    stored.is_taken = true;
    return Pool(stored.pool, give_back);
  }
  const std::string name = "phub_pool_" + std::to_string(store().size());
  rte_mempool* const pool = ::rte_pktmbuf_pool_create(
      name.c_str(), shape.buffer_count, shape.has_cache ? kThreadCache : 0,
      static_cast<uint16_t>(RTE_ALIGN_CEIL(shape.private_bytes, RTE_MBUF_PRIV_ALIGN)),
      shape.buffer_bytes, shape.socket);
  if (pool == nullptr) {
    const size_t each = shape.buffer_bytes + shape.private_bytes + sizeof(rte_mbuf);
    const size_t mib = (shape.buffer_count * each >> 20) + 1;
    return Status(Code::resource_exhausted,
                  "dpdk: no memory for " + std::to_string(shape.buffer_count) +
                      " packet buffers, " + std::to_string(mib) +
                      " MiB in all: " + ::rte_strerror(rte_errno) +
                      "; reserve more hugepages, or raise DPDK's argument -m with --no-huge");
  }
  store().push_back({pool, shape, true});
  return Pool(pool, give_back);
}

}  // namespace phub::transport::dpdk
