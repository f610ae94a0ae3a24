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

// resource_exhausted: DPDK's memory does not hold it; says how much is needed. Thread-safe.
Result<Pool> take_pool(uint32_t buffer_count, uint16_t buffer_bytes, int socket);

}  // namespace phub::transport::dpdk
