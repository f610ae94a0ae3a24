// The bound of an exchange over DPDK's memif on this machine: bare packets of the fabric's frame
// size between two processes, every byte written by one and read by the other; nothing else is
// done with them.
#pragma once

#include <phub/status.h>

#include <cstdint>

namespace phub::perf {

// Microseconds that `bytes` up and `bytes` down of each of `workers` take at the pump's speed. One
// direction at a time occupies two cores, a sender's and a receiver's.
// frame_bytes: of an IP packet; 0: the most that a buffer of memif holds.
// unavailable: the pump's program is not there or failed; with what it said.
Result<double> dpdk_roof_us(uint64_t bytes, uint32_t workers, uint64_t frame_bytes);

}  // namespace phub::perf
