// The bound of an exchange over TCP on this machine: a pump that moves the same bytes over the
// loopback and does nothing with them.
#pragma once

#include <phub/status.h>

#include <cstdint>
#include <memory>

namespace phub::perf {

// Every rank sends its gradient, in equal parts, to as many hub threads as there are shards; each
// hub thread sends back as many bytes as it has from all its ranks, to each of them. One connection
// for each rank and shard, memory of the exchange's size on both sides, one frame a
// send, as much as is there a receive.
class TcpRoof {
 public:
  // resource_exhausted, unavailable: no memory, no sockets.
  static Result<std::unique_ptr<TcpRoof>> create(uint64_t bytes, uint32_t ranks, uint32_t shards,
                                                 uint64_t frame_bytes);
  virtual ~TcpRoof() = default;
  // Microseconds of one exchange; the median of a few.
  virtual Result<double> measure_us() = 0;
};

}  // namespace phub::perf
