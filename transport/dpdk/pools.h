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

struct PoolShape {
  uint32_t buffer_count = 0;
  uint16_t buffer_bytes = 0;   // 0: buffers without room, to attach others' memory to.
  uint16_t private_bytes = 0;  // For the owner, beside each.
  int socket = 0;
  bool has_cache = true;  // Each thread keeps some: faster where one thread takes and frees.

  bool operator==(const PoolShape&) const = default;
};

// resource_exhausted: DPDK's memory does not hold it; says how much is needed. Thread-safe.
Result<Pool> take_pool(const PoolShape& shape);

}  // namespace phub::transport::dpdk
