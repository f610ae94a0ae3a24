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
  uint64_t gathered = 0;     // Sent with an end in lent memory.
};

// How many packets that the wire has not let go of yet end in one put's bytes.
struct WireLoan {
  uint32_t count = 0;
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

  // Gathering: a wire that can read the caller's memory itself takes a packet's last bytes from
  // where they lie, so that nobody copies them. It may read them long after send(), and after the
  // peer has acknowledged them: until then they are lent and must not change.
  //
  // Memory that packets may end in. Set-up, may allocate; what the wire cannot use it leaves aside.
  virtual void add_memory(std::span<const std::byte> /*memory*/) {}
  virtual void remove_memory(std::span<const std::byte> /*memory*/) {}  // REQUIRES: none is lent.
  virtual bool can_gather(std::span<const std::byte> /*piece*/) const { return false; }
  // As send(), then the piece's bytes; mtu() holds for all together. Counts the loan up, and down
  // when it ends, which happens within send(), flush(), reclaim() or recall() only.
  // REQUIRES: can_gather(piece); the loan stays where it is until it is 0.
  virtual void send_gathered(const WireAddress& /*to*/, size_t /*bytes*/,
                             std::span<const std::byte> /*piece*/, WireLoan& /*loan*/) {}
  // Ends the loans of what has left. A wire that nothing more is sent by needs to be told.
  virtual void reclaim() {}
  // Ends all loans, also of what has not left, which then may never do. May wait; not on the data
  // path.
  virtual void recall() {}

  // Fills `packets` from the front with what has arrived; returns how many. Their bytes are valid
  // until the next receive().
  virtual size_t receive(std::span<WirePacket> packets) = 0;

  // As in Fabric: a descriptor that becomes readable after a successful arm(); -1 in simulation.
  virtual int fd() const = 0;
  virtual bool arm() = 0;
  virtual void disarm() = 0;
};

}  // namespace phub::transport
