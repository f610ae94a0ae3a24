// Wire: an unreliable packet network as transport/datagram sees it. Packets may vanish, arrive
// twice, late, or in another order; they are never torn or changed (a checksum below sees to that).
//
// Implemented by the simulator and by kernel-bypass Ethernet.
// Thread-safety: none; one thread, as for the Fabric above it. After set-up nothing allocates.
#pragma once

#include <phub/status.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace phub::transport {

// Where packets can be sent to; opaque to all but the wire. Travels in bootstraps.
struct WireAddress {
  static constexpr size_t kBytes = 28;
  std::array<std::byte, kBytes> bytes{};
  bool operator==(const WireAddress&) const = default;
};

struct WirePacket {
  WireAddress from;
  std::span<const std::byte> bytes;
  bool is_marked = false;  // The network saw congestion on the way (ECN).
};

struct WireCounters {
  uint64_t malformed = 0;    // Not UDP of ours, or with a wrong checksum.
  uint64_t foreign = 0;      // To somebody else.
  uint64_t handed_over = 0;  // Received for another shard of this hub.
  uint64_t dropped = 0;      // A device or a shard took no more.
};

class Wire {
 public:
  virtual ~Wire() = default;

  virtual std::string_view name() const = 0;
  virtual size_t mtu() const = 0;  // The most bytes of a packet. At least 256.
  virtual WireAddress address() const = 0;
  virtual WireCounters counters() const { return {}; }
  // Set-up for a link to this peer; may allocate. Not ok: it cannot be reached from here.
  virtual Status prepare(const WireAddress& /*peer*/) { return {}; }

  // Room for one packet of mtu() bytes, or empty while the wire is full. The room is the caller's
  // until send(), which gives it back; asking again without sending gives the same room.
  virtual std::span<std::byte> reserve() = 0;
  // Sends the first `bytes` bytes of the reserved room. REQUIRES: reserve() gave room.
  virtual void send(const WireAddress& to, size_t bytes) = 0;
  // Makes everything sent so far leave. Called once per batch.
  virtual void flush() = 0;

  // Fills `packets` from the front with what has arrived; returns how many. Their bytes are valid
  // until the next receive().
  virtual size_t receive(std::span<WirePacket> packets) = 0;

  // As in Fabric: a descriptor that becomes readable after a successful arm(); -1 in simulation.
  virtual int fd() const = 0;
  virtual bool arm() = 0;
  virtual void disarm() = 0;
};

}  // namespace phub::transport
