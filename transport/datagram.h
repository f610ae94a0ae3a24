// DatagramFabric: a Fabric over any lossy Wire.
//
// What each part does: datagram_packet (format), datagram_sender (messages to packets, timers,
// congestion), datagram_receiver (packets to slots, acks, credit), datagram_bootstrap (set-up);
// this class joins them to the wire.
//
//   Exactly once    Packet numbers are taken once each, so a put arrives once, whole, and a late
//                   copy never touches the slot.
//   Flow control    The receiver says up to which message it has room: twice puts_max beyond the
//                   first that its owner has not polled. An arrival that is held for long holds up
//                   nothing but its own slot.
//   Congestion      Additive increase, multiplicative decrease, in packets (datagram_pace.h). Kept
//                   simple: a rack's own network, where queues are short and losses rare.
//   Liveness        A link that has something unacknowledged and hears nothing for link_timeout_ns
//                   is lost; idle ones ask every keepalive_ns. Silence is the only criterion: a
//                   peer that answers is alive, however often packets must be repeated.
//   Isolation       A 64-bit cookie names each incarnation of a link. Packets without it, from
//                   another address, or malformed are dropped and counted.
#pragma once

#include <memory>
#include <vector>

#include "base/memory.h"
#include "base/random.h"
#include "transport/datagram_bootstrap.h"
#include "transport/datagram_events.h"
#include "transport/datagram_receiver.h"
#include "transport/datagram_sender.h"
#include "transport/fabric.h"
#include "transport/wire.h"

namespace phub::transport {

struct DatagramOptions {
  int64_t initial_timeout_ns = 2'000'000;  // Before the first round trip is measured.
  int64_t timeout_floor_ns = 200'000;      // Below it a busy peer would look like a loss.
  int64_t link_timeout_ns = 5'000'000'000;
  int64_t keepalive_ns = 1'000'000'000;
  uint64_t seed = 0;  // Of the cookies; 0: the kernel's generator.
};

struct DatagramCounters {
  uint64_t packets_sent = 0;
  uint64_t packets_received = 0;
  uint64_t packets_gathered = 0;   // Sent whose last bytes the wire took from their place.
  uint64_t packets_repeated = 0;   // Sent again. Of links that are still there.
  uint64_t packets_duplicate = 0;  // Received again.
  uint64_t packets_waiting = 0;    // Not taken yet: beyond the window, or the slot is in use.
  uint64_t packets_malformed = 0;
  uint64_t packets_stale = 0;      // Of no link here, or of a former one.
  uint64_t packets_no_buffer = 0;  // Sent later: the wire was full.
};

class DatagramFabric final : public Fabric {
 public:
  DatagramFabric(std::unique_ptr<Wire> wire, const DatagramOptions& options);
  ~DatagramFabric() override;

  DatagramCounters counters() const;
  const PacketCounters* packets() const override { return &shown_; }

  std::string_view name() const override { return wire_->name(); }
  Traits traits() const override { return {}; }
  Result<std::span<std::byte>> allocate(size_t bytes) override;
  Status register_memory(std::span<std::byte> memory, uint64_t domain) override;
  void deregister_memory(std::span<std::byte> memory) override;
  Result<LinkId> open(const LinkOptions& options, Bootstrap* offer) override;
  Status accept(LinkId link, Bootstrap answer) override;
  Result<LinkId> connect(const LinkOptions& options, Bootstrap offer, Bootstrap* answer) override;
  void close(LinkId link) override;
  std::string lost_reason(LinkId link) const override;
  std::byte* window(LinkId, uint32_t) override { return nullptr; }
  size_t put(std::span<const Put> puts) override;
  size_t poll(Instant now, std::span<Event> events) override;
  void release(const Event& event) override;
  int fd() const override { return wire_->fd(); }
  bool arm() override;
  void disarm() override { wire_->disarm(); }
  Instant next_deadline() const override;

 private:
  enum class State : uint8_t { closed, opening, up, lost };
  struct Link {
    State state = State::closed;
    bool is_acceptor = false;
    bool is_heard = false;    // The peer has the link, too: from now on silence means something.
    bool is_stamped = false;  // last_heard is valid.
    bool is_waiting = false;  // Something is unacknowledged, since waiting_since.
    uint16_t generation = 0;  // Tells arrivals of this link from those of a former one.
    uint64_t cookie = 0;
    LinkOptions options;
    DatagramBootstrap peer;
    std::unique_ptr<DatagramSender> sender;
    std::unique_ptr<DatagramReceiver> receiver;
    Instant last_heard{0};
    Instant waiting_since{0};
    size_t event_room = 0;
    std::string lost_reason;
  };

  // Set-up: datagram.cc.
  uint32_t new_link(const LinkOptions& options, bool is_acceptor);
  uint64_t new_cookie();
  DatagramBootstrap bootstrap_of(uint32_t index) const;
  void bring_up(Link& link, DatagramBootstrap peer);
  // Data path: datagram_poll.cc.
  void receive();
  void on_packet(const WirePacket& from_wire);
  void on_known(uint32_t index, const Packet& packet);
  void on_reset(const Packet& packet, const WireAddress& from);
  void on_data(uint32_t index, const Packet& packet);
  void pump(Link& link);
  bool send_packet(Link& link, PacketKind kind, bool is_probe);
  bool is_worth_gathering(const DatagramSender::Tail& tail) const;
  void reclaim();
  void send_bare(const WireAddress& to, PacketKind kind, uint32_t link, uint64_t cookie);
  void stamp(Link& link);
  void run_timers();
  void check_timers(uint32_t index);
  Instant deadline_of(const Link& link) const;
  void lose(uint32_t index, std::string reason);
  void show_counters();

  std::unique_ptr<Wire> wire_;
  DatagramOptions options_;
  base::Random random_;
  std::vector<base::Mapping> memory_;
  std::vector<Link> links_;
  EventQueue events_;
  Instant now_{0};                // Of the last poll.
  Instant timers_at_{INT64_MIN};  // No timer is due before.
  bool is_wire_full_ = false;
  uint32_t resets_left_ = 0;  // Of this poll: strays must not make us a flood.
  DatagramCounters counters_;
  PacketCounters shown_;  // To other threads, when there is time.
};

}  // namespace phub::transport
