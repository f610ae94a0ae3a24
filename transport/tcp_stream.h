// One connection of a TCP link: the frame that leaves on it, in one system call where the socket
// takes it, and the frame that comes in, whose payloads are received straight into their slots,
// many in one call.
//
// Whatever breaks the rules (a slot that is not there, a payload longer than its slot, a wrong
// mark) fails the connection, as its end does; that costs the peer its link.
// Thread-safety: none. Nothing is allocated after construction, except the text of a failure.
#pragma once

#include <array>
#include <string>

#include "transport/byte_stream.h"
#include "transport/fabric.h"
#include "transport/tcp_frame.h"
#include "transport/tcp_put_queue.h"

namespace phub::transport {

class TcpStream {
 public:
  // `slots` outlive it.
  TcpStream(LinkId link, std::span<const Slot> slots) : link_(link), slots_(slots) {}

  void attach(ByteStream stream);
  bool is_attached() const { return stream_.valid(); }
  // What epoll has told, edge by edge.
  void on_ready(bool is_readable, bool is_writable);

  // Goes on with the frame that is leaving; without one begins one of puts that wait, and takes no
  // more once it has `frame_bytes`. False: there is nothing to send, or not now.
  bool send(TcpPutQueue& puts, uint64_t frame_bytes);
  bool can_send(const TcpPutQueue& puts) const {
    return is_writable_ && (has_unsent() || puts.is_waiting());
  }

  // Arrivals, until `bytes`, their payloads, which it adds up, reach kBytesPerPoll.
  // REQUIRES: is_attached().
  size_t receive(std::span<Event> events, size_t& bytes);
  // receive() would find nothing before the next edge.
  bool is_dry() const;

  bool has_failed() const { return has_failed_; }
  const std::string& failure() const { return failure_; }

 private:
  static constexpr size_t kStageBytes = 4096;
  static_assert(kStageBytes >= 2 * sizeof(TcpFrameHead));

  bool is_out_frame_done() const { return out_done_ == out_.count; }
  bool has_unsent() const { return !is_out_frame_done() || stream_.has_unsent(); }
  void begin_frame(TcpPutQueue& puts, uint64_t frame_bytes);
  size_t gather_frame(std::span<iovec> pieces) const;
  void advance_sent(size_t bytes, TcpPutQueue& puts);

  bool is_in_frame() const { return in_reported_ != in_.count; }
  size_t head_bytes_missing() const;
  bool take_head();
  Status check_puts(const TcpFrameHead& head) const;
  // False: nothing more now.
  bool read_more();
  uint32_t end_of_read() const;
  size_t gather_slots(std::span<iovec> pieces, uint32_t end) const;
  void advance_received(size_t bytes);
  void take_payloads_from_stage();
  void on_read_error(ssize_t result);
  void fail(std::string reason);

  LinkId link_;
  std::span<const Slot> slots_;
  ByteStream stream_;
  bool is_readable_ = false;
  bool is_writable_ = false;
  bool has_failed_ = false;
  std::string failure_;

  // The frame that is leaving: out_head_bytes_ of its head have left, then its puts [0, out_done_),
  // and out_put_bytes_ of the next one.
  TcpFrameHead out_;
  std::array<const std::byte*, kTcpFramePutsMax> out_data_;
  std::array<uint64_t, kTcpFramePutsMax> out_cookies_;
  uint32_t out_done_ = 0;
  size_t out_head_bytes_ = 0;
  size_t out_put_bytes_ = 0;

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
