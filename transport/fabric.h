// Fabric: one thread's door to one network. The contract that every backend keeps and that
// tests/transport/conformance_test checks.
//
// One primitive: *put with a tag*. A put carries bytes to a numbered slot at the other end of a
// link; the other side's poll returns the 32-bit tag and where the payload lies. Nothing else moves
// data.
//
// Roles. A link joins an acceptor (the hub) and a connector (a worker). They exchange an offer and
// an answer over the session; after that both sides may put.
//
//   acceptor                              connector
//   open(options, &offer)    --offer-->   connect(options, offer, &answer)
//   accept(link, answer)     <-answer--
//
// Slots. Each side names, when it makes the link, the memory in which the *other* side's puts land:
// slots [0, slots.size()). A put to slot s with n bytes fills the first n bytes of slot s, and
// nothing else of the receiver is ever written. A put of no bytes writes nothing: it may go to a
// slot whose payload is still held. Two shortcuts avoid copies, and traits() says which
// a fabric has:
//   by_reference  the acceptor reads the connector's registered memory directly: the acceptor gives
//   no
//                 memory for its slots (Slot::data null), and an arrived payload is the sender's
//                 memory.
//   windows       the acceptor can write the connector's slots with plain stores: window(link,
//   slot) is
//                 that address. A put whose data *is* window(link, slot) moves only the tag.
//
// Delivery. Each put arrives at least once, in any order, or the link is lost. Arrivals may be
// repeated: the tag comes again, but the slot is written only before the put's first arrival is
// polled, because its owner may have put the memory to other use since. Arrivals are never torn,
// truncated or misplaced. Lost is final: close the link and make another.
//
// Borrowing. The bytes given to put belong to the fabric until poll returns the put's `sent` event:
// do not write them before. (Exception: a put out of window() borrows nothing and has no `sent`
// event.) An arrived payload is valid until release(event); each arrived event must be released
// exactly once, in any order. By reference, the sender's `sent` comes only after the receiver's
// release.
//
// Thread-safety: none. One thread at a time; a Fabric may move between threads when idle.
// After set-up (open, connect, accept, allocate) nothing allocates, locks, logs or reads a clock.
#pragma once

#include <phub/status.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/counter.h"
#include "base/fd.h"

namespace phub::transport {

using base::Instant;

// A link of one Fabric; numbers are reused after close.
enum class LinkId : uint32_t {};
constexpr uint32_t index_of(LinkId link) { return static_cast<uint32_t>(link); }

struct Slot {
  std::byte* data = nullptr;
  uint32_t bytes = 0;  // The most a put may carry.
};

// What one side tells the other so that a link comes up: opaque to all but the backend. Relayed by
// the session.
struct Bootstrap {
  std::string blob;
  std::vector<base::Fd> fds;  // Only between processes of one machine.
};

struct LinkOptions {
  std::vector<Slot> slots;       // Where the peer's puts land.
  uint32_t peer_slot_count = 0;  // The peer's slots: what this side may put to.
  // The most puts that can be unfinished in each direction at once; both sides give the same
  // numbers. The acceptor's puts and the connector's puts, respectively.
  uint32_t acceptor_puts_max = 0;
  uint32_t connector_puts_max = 0;
  // What the peer's slots hold at least: a peer that gives less is refused. A side that writes
  // through window() must say it, for the window is as long as the peer made it. Empty: any.
  std::vector<uint32_t> peer_slot_bytes = {};
  // Whose link it is. Links of different domains (jobs) share no key to any memory.
  uint64_t domain = 0;
  std::string peer = {};  // For messages: "rank 3 of job \"resnet\"".
  // Fabrics with several rails (NICs): the rail for this side's puts to each of the peer's slots.
  // Empty: all take the first. A rail that fails hands its slots to the others meanwhile.
  std::vector<uint8_t> rails = {};
  // Puts mostly go to the slot (tag & tag_slot_mask): a network whose messages have room for the
  // tag alone sends those as one message, others as two. Both sides give the same.
  uint32_t tag_slot_mask = 0;
};

struct Put {
  LinkId link = LinkId{0};
  uint32_t slot = 0;
  uint32_t tag = 0;                 // Opaque; arrives as it is.
  uint32_t bytes = 0;               // 0 is allowed: only the tag arrives.
  const std::byte* data = nullptr;  // In memory from allocate(), or window(link, slot).
  uint64_t cookie = 0;              // Comes back in the `sent` event.
};

enum class EventKind : uint8_t {
  arrived,  // link, tag, data, bytes: release() it.
  sent,     // link, cookie: the put's bytes belong to the caller again.
  lost,     // link: nothing more will come of it; lost_reason(link) says why. Reported once.
};

struct Event {
  EventKind kind = EventKind::arrived;
  LinkId link = LinkId{0};
  uint32_t tag = 0;
  uint32_t bytes = 0;
  const std::byte* data = nullptr;
  uint64_t cookie = 0;  // sent: the put's. arrived: the fabric's own, for release().
};

struct Traits {
  bool by_reference = false;
  bool windows = false;
  bool any_memory = false;  // Puts may come out of any memory, registered or not.
};

// What one rail of a fabric has done so far. Written by the fabric's thread, read by any.
struct RailCounters {
  std::string name;  // "mlx5_0"
  base::Counter bytes_sent;
  base::Counter bytes_received;
  base::Counter puts_sent;
  base::Counter puts_received;
  base::Counter failures;    // Queue pairs that went into error,
  base::Counter repairs;     // and that were made anew and work.
  base::Counter detours;     // Puts that left by another rail than theirs, which was broken.
  base::Counter links_down;  // Queue pairs that do not work just now: 0 is well.
};

// What a fabric that mends a lossy network has seen of its packets. Written by the fabric's thread,
// read by any; a little behind the truth.
struct PacketCounters {
  base::Counter sent;
  base::Counter received;
  base::Counter repeated;     // Sent again: lost, or thought to be.
  base::Counter duplicate;    // Received again.
  base::Counter malformed;    // Received, but not of this kind, or with a wrong checksum.
  base::Counter stale;        // Of no link here, or of a former one.
  base::Counter foreign;      // To somebody else.
  base::Counter handed_over;  // Received for another shard of this hub.
  base::Counter dropped;      // A device or a shard took no more.
  base::Counter no_buffer;    // Sent later, because no buffer was free.
};

class Fabric {
 public:
  virtual ~Fabric() = default;

  virtual std::string_view name() const = 0;  // "shm", "sim", ...
  virtual Traits traits() const = 0;

  // Registered memory, zeroed, 64-byte aligned, owned by the fabric until it is destroyed. Only
  // memory allocated before connect() is known to that link's peer.
  virtual Result<std::span<std::byte>> allocate(size_t bytes) = 0;

  // Registers the caller's own memory, which must outlive the registration: puts on links of this
  // LinkOptions::domain may come out of it. An acceptor's results live there. Not for by_reference
  // connectors, whose peer must see it: they allocate(). A fabric that copies needs no
  // registration, hence the defaults.
  virtual Status register_memory(std::span<std::byte> /*memory*/, uint64_t /*domain*/) {
    return {};
  }
  virtual void deregister_memory(std::span<std::byte> /*memory*/) {}

  // Acceptor: makes the link's half and the offer for the other side. No put before accept().
  virtual Result<LinkId> open(const LinkOptions& options, Bootstrap* offer) = 0;
  // Acceptor: completes the link. invalid_argument or permission_denied: the answer is broken or
  // hostile; the link is then closed.
  virtual Status accept(LinkId link, Bootstrap answer) = 0;
  // Connector: makes the other half.
  virtual Result<LinkId> connect(const LinkOptions& options, Bootstrap offer,
                                 Bootstrap* answer) = 0;
  // Forgets the link; its unreleased arrivals become invalid, its unfinished puts get no event.
  virtual void close(LinkId link) = 0;
  virtual std::string lost_reason(LinkId link) const = 0;

  // The peer's slot as plain memory, or null: then put() carries the bytes. Valid until close().
  virtual std::byte* window(LinkId link, uint32_t slot) = 0;

  // Starts puts in order; returns how many were taken. Fewer than all: full; poll, then try again.
  // A put on a lost link is taken and vanishes. Visible to the peer without another call.
  virtual size_t put(std::span<const Put> puts) = 0;
  // Moves what can be moved by `now`; fills `events` from the front, returns how many.
  virtual size_t poll(Instant now, std::span<Event> events) = 0;
  virtual void release(const Event& event) = 0;

  // Idling. fd() becomes readable when there is something to poll after a successful arm(). arm()
  // returns false if there is something already. After waking call disarm().
  // next_deadline: poll again by then even if the descriptor stays silent (timers); max() if never.
  virtual int fd() const = 0;
  virtual bool arm() = 0;
  virtual void disarm() = 0;
  virtual Instant next_deadline() const { return {INT64_MAX}; }
  // A hint for the next arm(): do not wake for this link before `count` more arrivals. It keeps a
  // waiter asleep until the tensor it waits for can be complete. Default 1; reset by disarm().
  virtual void want(LinkId /*link*/, uint32_t /*count*/) {}

  // The fabric's rails, in the order in which LinkOptions::rails counts them; empty: it has none to
  // choose from. Stays where it is as long as the fabric lives.
  virtual std::span<const RailCounters> rails() const { return {}; }
  // What it chose at set-up and why, a line each, for an operator's log.
  virtual std::vector<std::string> choices() const { return {}; }
  // Null: it leaves losses to others. Stays where it is as long as the fabric lives.
  virtual const PacketCounters* packets() const { return nullptr; }
};

}  // namespace phub::transport
