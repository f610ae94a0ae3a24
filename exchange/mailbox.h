// Messages of any size over one link of any fabric: in order, each exactly once.
//
// Two rings of slots in each direction, filled in order and given back in order, so that a slot is
// `sequence % count` and a repeated or overtaking arrival is told by its tag alone:
//   eager  small messages whole, and the heads of large ones; a copy into the slot, one out of it
//   bulk   the bytes of large messages. A large one is announced; the receiver says when and
//          where it wants it (accept), and its bytes follow in the order of the acceptances. Where
//          the fabric sends from any memory they are not copied at the sender.
// What is given back is told by tags without payload; they repeat harmlessly, for they count from
// the start. Nobody waits for the other's user: an announcement costs a record and no memory.
//
//   A message's turn (`message`, `begun`) comes in the order of sending. A begun message ends
//   (`received`) when its bytes are there; later small ones may end before it.
//
// After set-up nothing allocates, and no clock is read. What one side can make the other hold is
// bounded by MailboxOptions. A lost link ends every unfinished operation: `sent` and `received`
// with ok false, then one `lost`.
// Thread-safety: none.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "exchange/mail_frame.h"
#include "transport/fabric.h"

namespace phub::exchange {

struct MailboxOptions {       // Both ends of a link have the same.
  uint32_t eager_slots = 64;  // Powers of two, at most 4096.
  uint32_t eager_bytes = 8192;
  uint32_t bulk_slots = 16;
  uint32_t bulk_bytes = 128 << 10;
  uint32_t sends_max = 256;  // Unfinished sends of this end.
};

struct OutgoingMail {
  uint64_t tag = 0;
  std::array<std::span<const std::byte>, kMailPartsMax> parts = {};
  uint32_t part_count = 0;
  uint64_t cookie = 0;  // Comes back with `sent`.
};

enum class MailEventKind : uint8_t {
  message,   // A small message: tag, parts, valid until the next call of next().
  begun,     // A large one: id, tag, the sizes of its parts. Answer with accept(), now or later.
  received,  // A begun one is whole, or (ok false) will never be. id.
  sent,      // cookie: the message's memory is the sender's again. ok false: it may not arrive.
  farewell,  // The peer will send nothing more, and leaves.
  lost,      // The last event: the link is lost; reason() says why.
};

struct MailEvent {
  MailEventKind kind = MailEventKind::message;
  bool ok = true;
  uint32_t id = 0;
  uint32_t part_count = 0;
  uint64_t tag = 0;
  uint64_t cookie = 0;
  std::array<std::span<const std::byte>, kMailPartsMax> parts = {};  // begun: only their sizes.
};

class Mailbox {
 public:
  // Takes memory from the fabric. is_acceptor: this end opens the link. peer: for messages.
  // resource_exhausted: no memory.
  static Result<std::unique_ptr<Mailbox>> create(transport::Fabric& fabric, bool is_acceptor,
                                                 std::string peer, const MailboxOptions& options);
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // For the fabric's open() or connect(), whose link goes to start() when it is up.
  transport::LinkOptions link_options() const;
  void start(transport::LinkId link);

  // Queues a message; its memory is borrowed until `sent`. False: sends_max are unfinished.
  bool send(const OutgoingMail& mail);
  // Where a begun message goes: parts that together have its size, anyhow cut; none: drop it.
  void accept(uint32_t id, std::span<const std::span<std::byte>> to);
  // Says that nothing more will be sent.
  void send_farewell();

  // What the fabric's poll() has brought for this link.
  void on_event(const transport::Event& event);
  // Puts what can be put now. Returns the puts made.
  size_t pump();
  // The next event, if any. Small messages and announcements stay in their slots, and hold the peer
  // up, until they were asked for. Without takes_mail they are left there.
  std::optional<MailEvent> next(bool takes_mail = true);

  // After send_farewell(): everything sent is in the peer's hands, for all slots came back.
  bool is_drained() const;
  size_t unfinished_sends() const { return send_count_; }
  bool is_lost() const { return is_lost_; }
  const std::string& reason() const { return reason_; }
  uint64_t duplicates() const { return duplicates_; }

 private:
  enum class Stage : uint8_t { free, announced, granted, draining };

  // A ring of slots at the receiver, as its sender sees it.
  struct OutRing {
    uint32_t first_slot = 0;
    uint32_t count = 0;
    uint32_t bytes = 0;
    uint32_t next = 0;   // Sequence number of the next put.
    uint32_t given = 0;  // Slots that came back, counted from the start.
    std::byte* staging = nullptr;
    std::vector<bool> is_borrowed;  // By slot: the put's `sent` has not come.

    uint32_t used() const { return (next - given) & kMailValueMask; }
  };
  // The same as its receiver sees it.
  struct InRing {
    uint32_t count = 0;
    uint32_t next = 0;
    uint32_t told = 0;  // What the peer knows to be given back.
    std::vector<transport::Event> arrived;
    std::vector<bool> is_there;
  };
  struct Outgoing {
    OutgoingMail mail;
    Stage stage = Stage::free;
    uint32_t part = 0;
    uint64_t offset = 0;
    uint32_t last = 0;      // Draining: the bulk sequence after its last chunk.
    uint32_t borrowed = 0;  // Chunks that were put out of the user's memory and are not sent.
  };
  struct Incoming {
    Stage stage = Stage::free;
    MailHead head;
    std::array<std::span<std::byte>, kMailPartsMax> to = {};
    uint32_t to_count = 0;
    bool is_dropped = false;
    uint32_t part = 0;
    uint64_t offset = 0;
    uint64_t left = 0;
  };
  // A queue of places in a fixed array.
  struct IdQueue {
    std::array<uint8_t, kMailIdCount> ids = {};
    uint32_t head = 0;
    uint32_t tail = 0;
    bool is_empty() const { return head == tail; }
    void push(uint32_t id) { ids[tail++ % kMailIdCount] = static_cast<uint8_t>(id); }
    uint32_t front() const { return ids[head % kMailIdCount]; }
    void pop() { ++head; }
  };

  Mailbox(transport::Fabric& fabric, bool is_acceptor, std::string peer,
          const MailboxOptions& options);
  Status allocate();
  std::byte* staging(OutRing& ring, uint32_t slot);
  bool put(const transport::Put& put);
  bool put_control(MailTag kind, uint32_t value);
  bool can_take(const OutRing& ring) const;
  bool pump_controls();
  bool pump_queue();
  bool pump_streams();
  bool put_head(MailHead& head, const OutgoingMail& mail);
  bool put_chunk(uint32_t id);
  void settle(uint32_t id);

  void on_arrived(const transport::Event& event);
  void on_sent(uint64_t cookie);
  void on_ring(InRing& ring, const transport::Event& event);
  void on_credit(OutRing& ring, uint32_t value);
  void on_grant(uint32_t value);
  void take_bulk();
  bool take_chunk(std::span<const std::byte> chunk);
  void release(InRing& ring);
  std::optional<MailEvent> next_eager();
  std::optional<MailEvent> next_failure();
  void fail(std::string reason);

  transport::Fabric& fabric_;
  const bool is_acceptor_;
  const std::string peer_;
  const MailboxOptions options_;
  transport::LinkId link_{0};
  bool is_started_ = false;
  std::span<std::byte> in_memory_;
  std::span<std::byte> out_memory_;

  OutRing eager_out_;
  OutRing bulk_out_;
  std::vector<OutgoingMail> queue_;  // A ring of sends_max places.
  uint64_t queue_head_ = 0;
  uint64_t queue_tail_ = 0;
  size_t send_count_ = 0;
  std::vector<uint64_t> done_;  // Cookies of `sent` events to come; a ring as well.
  uint64_t done_head_ = 0;
  uint64_t done_tail_ = 0;
  std::array<Outgoing, kMailIdCount> outgoing_;
  IdQueue streams_;  // Granted, in the order of the grants.
  std::array<int8_t, kMailIdCount> early_grants_;
  uint32_t next_grant_ = 0;
  uint32_t controls_in_flight_ = 0;
  bool wants_farewell_ = false;

  InRing eager_in_;
  InRing bulk_in_;
  std::array<Incoming, kMailIdCount> incoming_;
  IdQueue granted_;   // Whose bytes come next.
  IdQueue to_grant_;  // Accepted, not told yet.
  uint32_t grant_count_ = 0;
  IdQueue whole_;             // `received` events to come.
  bool holds_eager_ = false;  // The event of the last next() lies in its slot.
  bool has_left_ = false;     // The peer said farewell: it waits for its slots.

  bool is_lost_ = false;
  bool has_told_loss_ = false;
  uint32_t failed_ = 0;  // Next place to report after a loss.
  std::string reason_;
  uint64_t duplicates_ = 0;
};

}  // namespace phub::exchange
