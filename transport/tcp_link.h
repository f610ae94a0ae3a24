// One end of a TCP link: puts leave as frames (tcp_frame.h), each in one system call where the
// socket takes it; payloads are received straight into their slots, many in one call.
//
// `sent` means that the kernel has the bytes, or TLS its encrypted copy. Whatever breaks the rules
// (a slot that is not there, a payload longer than its slot, a wrong mark) costs the peer its link.
// Nothing is allocated after construction, except the text of a loss.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "transport/byte_stream.h"
#include "transport/fabric.h"
#include "transport/tcp_frame.h"

namespace phub::transport {

class TcpLink {
 public:
  // puts_max: this side's unfinished puts.
  TcpLink(LinkId id, LinkOptions options, uint32_t puts_max);
  TcpLink(const TcpLink&) = delete;
  TcpLink& operator=(const TcpLink&) = delete;

  // A connection. Puts staged before are sent then.
  void attach(ByteStream stream);
  bool is_attached() const { return stream_.valid(); }

  // False: full.
  bool stage(const Put& put);
  void flush();
  // What epoll has told, edge by edge.
  void on_ready(bool is_readable, bool is_writable);
  // REQUIRES: !events.empty().
  size_t poll(std::span<Event> events);
  // poll() would find nothing before the next edge.
  bool is_quiet() const;

  void lose(std::string reason);
  bool is_lost() const { return is_lost_; }
  const std::string& lost_reason() const { return lost_reason_; }
  LinkId id() const { return id_; }
  const LinkOptions& options() const { return options_; }

 private:
  struct Outgoing {
    TcpPutHead head;
    const std::byte* data = nullptr;
    uint64_t cookie = 0;
  };
  static constexpr size_t kStageBytes = 4096;
  static_assert(kStageBytes >= 2 * sizeof(TcpFrameHead));

  bool has_unsent() const { return written_ != staged_ || stream_.has_unsent(); }
  void begin_frame();
  size_t gather_frame(std::span<iovec> pieces);
  void advance_sent(size_t bytes);
  size_t report_sent(std::span<Event> events);

  size_t receive(std::span<Event> events);
  bool is_in_frame() const { return in_reported_ != in_.count; }
  size_t head_bytes_missing() const;
  bool take_head();
  Status check_puts(const TcpFrameHead& head) const;
  // False: nothing more now.
  bool read_more();
  uint32_t end_of_read() const;
  size_t gather_slots(std::span<iovec> pieces, uint32_t end);
  void advance_received(size_t bytes);
  void take_payloads_from_stage();
  void on_read_error(ssize_t result);

  const LinkId id_;
  const LinkOptions options_;
  ByteStream stream_;
  bool is_readable_ = false;
  bool is_writable_ = false;
  bool is_lost_ = false;
  bool is_loss_reported_ = false;
  std::string lost_reason_;

  // Puts, as a ring: [reported_, written_) are with the kernel and their `sent` is due,
  // [written_, frame_end_) are the frame that is leaving, [frame_end_, staged_) wait. Of the
  // frame's head out_head_bytes_ have left, of its first put written_bytes_.
  std::vector<Outgoing> out_;
  uint64_t reported_ = 0;
  uint64_t written_ = 0;
  uint64_t frame_end_ = 0;
  uint64_t staged_ = 0;
  TcpFrameHead out_head_;
  size_t out_head_bytes_ = 0;
  size_t written_bytes_ = 0;

  // The frame that is coming in: puts [0, in_reported_) have been reported, [.., in_complete_) have
  // come, of the next one received_ bytes have. Then bytes that came behind it.
  TcpFrameHead in_;
  uint32_t in_reported_ = 0;
  uint32_t in_complete_ = 0;
  uint32_t received_ = 0;
  size_t stage_begin_ = 0;
  size_t stage_end_ = 0;
  alignas(64) std::array<std::byte, kStageBytes> stage_;
};

}  // namespace phub::transport
