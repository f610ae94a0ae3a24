// One end of a TCP link: puts leave as frames, gathered into few system calls; frames are received
// straight into their slots.
//
//   frame := tag:u32 slot:u32 bytes:u32 mark:u32 payload{bytes}         little endian
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
  struct Frame {
    uint32_t tag = 0;
    uint32_t slot = 0;
    uint32_t bytes = 0;
    uint32_t mark = 0;
  };
  static_assert(sizeof(Frame) == 16);
  struct Outgoing {
    Frame frame;
    const std::byte* data = nullptr;
    uint64_t cookie = 0;
  };
  static constexpr uint32_t kMark = 0x31465450;  // "PTF1"
  static constexpr size_t kStageBytes = 4096;

  size_t report_sent(std::span<Event> events);
  size_t receive(std::span<Event> events);
  bool take_frame();
  void take_payload_from_stage();
  // False: nothing more now.
  bool read_more();
  void advance_sent(size_t bytes);
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
  // [written_, staged_) wait; of the first of these, written_bytes_ have left.
  std::vector<Outgoing> out_;
  uint64_t reported_ = 0;
  uint64_t written_ = 0;
  uint64_t staged_ = 0;
  size_t written_bytes_ = 0;

  // The frame that is coming in, and bytes that came behind a payload.
  Frame in_;
  bool is_in_payload_ = false;
  uint32_t received_ = 0;
  size_t stage_begin_ = 0;
  size_t stage_end_ = 0;
  alignas(64) std::array<std::byte, kStageBytes> stage_;
};

}  // namespace phub::transport
