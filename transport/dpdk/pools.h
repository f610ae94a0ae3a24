// Pools of packet buffers. They are never freed, only used again: a neighbour in memory (a ring
// device) may hold buffers of a pool after its owner has gone.
#pragma once

#include <phub/status.h>
#include <rte_mempool.h>

#include <cstdint>
#include <memory>

namespace phub::transport::dpdk {

// Goes back to the store when the last owner lets go.
using Pool = std::shared_ptr<rte_mempool>;

// has_cache: each thread keeps some of its own, which is faster where one thread takes and frees.
// resource_exhausted: DPDK's memory does not hold it; says how much is needed. Thread-safe.
Result<Pool> take_pool(uint32_t buffer_count, uint16_t buffer_bytes, int socket, bool has_cache);

}  // namespace phub::transport::dpdk
