#include "transport/tcp_link.h"

#include <sys/uio.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace phub::transport {
namespace {

constexpr size_t kBytesPerPoll = 1u << 20;  // Then the other links have their turn.

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

TcpLink::TcpLink(LinkId id, LinkOptions options, uint32_t puts_max)
    : id_(id), options_(std::move(options)), out_(std::bit_ceil(uint64_t{puts_max} + 1)) {}

void TcpLink::attach(ByteStream stream) {
  PHUB_CHECK(!stream_.valid());
  stream_ = std::move(stream);
  is_readable_ = is_writable_ = true;
}

bool TcpLink::stage(const Put& put) {
  if (is_lost_) return true;
  PHUB_CHECK(put.slot < options_.peer_slot_count);
  if (staged_ - reported_ == out_.size()) return false;
  out_[staged_++ & (out_.size() - 1)] = {{put.tag, put.slot, put.bytes}, put.data, put.cookie};
  return true;
}

void TcpLink::flush() {
  while (!is_lost_ && is_writable_ && has_unsent()) {
    if (written_ == frame_end_ && written_ != staged_) begin_frame();
    std::array<iovec, kTcpFramePutsMax + 1> pieces;
    const ssize_t sent = stream_.send(std::span(pieces).first(gather_frame(pieces)));
    if (sent < 0) {
      is_writable_ = errno == EINTR;
      // A broken connection: the read finds what came before its end, and why it ended.
      if (!would_block()) is_readable_ = true;
      return;
    }
    advance_sent(static_cast<size_t>(sent));
  }
}

// Of all that waits, as much as a frame holds.
void TcpLink::begin_frame() {
  out_head_.count = static_cast<uint32_t>(std::min<uint64_t>(staged_ - written_, kTcpFramePutsMax));
  frame_end_ = written_ + out_head_.count;
  for (uint32_t i = 0; i < out_head_.count; ++i) {
    out_head_.puts[i] = out_[(written_ + i) & (out_.size() - 1)].head;
  }
  out_head_bytes_ = 0;
}

// What has not left of the frame: the rest of its head, then of its payloads.
size_t TcpLink::gather_frame(std::span<iovec> pieces) {
  size_t count = 0;
  const auto add = [&](const void* data, size_t bytes, size_t skip) {
    if (bytes == skip) return;
    pieces[count++] = {const_cast<char*>(static_cast<const char*>(data)) + skip, bytes - skip};
  };
  if (written_ == frame_end_) return 0;
  add(&out_head_, TcpFrameHead::bytes_for(out_head_.count), out_head_bytes_);
  for (uint64_t i = written_; i != frame_end_; ++i) {
    const Outgoing& put = out_[i & (out_.size() - 1)];
    add(put.data, put.head.bytes, i == written_ ? written_bytes_ : 0);
  }
  return count;
}

void TcpLink::advance_sent(size_t bytes) {
  const size_t of_head =
      std::min(bytes, TcpFrameHead::bytes_for(out_head_.count) - out_head_bytes_);
  out_head_bytes_ += of_head;
  bytes -= of_head;
  if (out_head_bytes_ < TcpFrameHead::bytes_for(out_head_.count)) return;
  bytes += written_bytes_;
  while (written_ != frame_end_ && bytes >= out_[written_ & (out_.size() - 1)].head.bytes) {
    bytes -= out_[written_ & (out_.size() - 1)].head.bytes;
    ++written_;
  }
  written_bytes_ = bytes;
}

void TcpLink::on_ready(bool is_readable, bool is_writable) {
  if (!stream_.is_plain()) is_readable = is_writable = true;  // Either may wait for either.
  is_readable_ |= is_readable;
  is_writable_ |= is_writable;
}

bool TcpLink::is_quiet() const {
  if (is_lost_) return is_loss_reported_;
  return !is_readable_ && reported_ == written_ && !(is_writable_ && has_unsent()) &&
         in_reported_ == in_complete_ &&
         (is_in_frame() ? stage_begin_ == stage_end_ : head_bytes_missing() > 0);
}

size_t TcpLink::poll(std::span<Event> events) {
  flush();
  size_t filled = 0;
  if (!is_lost_) filled = report_sent(events);
  if (!is_lost_ && stream_.valid()) filled += receive(events.subspan(filled));
  if (is_lost_ && !is_loss_reported_ && filled < events.size()) {
    is_loss_reported_ = true;
    events[filled++] = {.kind = EventKind::lost, .link = id_};
  }
  return filled;
}

size_t TcpLink::report_sent(std::span<Event> events) {
  size_t filled = 0;
  for (; reported_ != written_ && filled < events.size(); ++reported_) {
    const uint64_t cookie = out_[reported_ & (out_.size() - 1)].cookie;
    events[filled++] = {.kind = EventKind::sent, .link = id_, .cookie = cookie};
  }
  return filled;
}

size_t TcpLink::receive(std::span<Event> events) {
  size_t filled = 0;
  size_t bytes = 0;
  while (filled < events.size() && bytes < kBytesPerPoll) {
    if (in_reported_ != in_complete_) {
      const TcpPutHead& put = in_.puts[in_reported_++];
      bytes += put.bytes;
      events[filled++] = {.kind = EventKind::arrived,
                          .link = id_,
                          .tag = put.tag,
                          .bytes = put.bytes,
                          .data = options_.slots[put.slot].data};
    } else if (is_in_frame()) {
      take_payloads_from_stage();
      if (in_reported_ == in_complete_ && !read_more()) break;
    } else if (!take_head()) {
      if (is_lost_ || !read_more()) break;
    }
  }
  return filled;
}

// Of the next frame's head, what the stage does not have yet.
size_t TcpLink::head_bytes_missing() const {
  const size_t staged = stage_end_ - stage_begin_;
  if (staged < TcpFrameHead::kFixedBytes) return TcpFrameHead::kFixedBytes - staged;
  uint32_t count = 0;
  std::memcpy(&count, stage_.data() + stage_begin_ + sizeof(uint32_t), sizeof(count));
  // With too many puts it is no frame; that is seen without waiting for them.
  const size_t whole = TcpFrameHead::bytes_for(count > kTcpFramePutsMax ? 0 : count);
  return whole - std::min(whole, staged);
}

// The next frame's head out of the stage; false: it is not whole yet, or the link is lost.
bool TcpLink::take_head() {
  if (head_bytes_missing() > 0) return false;
  TcpFrameHead head;
  std::memcpy(static_cast<void*>(&head), stage_.data() + stage_begin_, TcpFrameHead::kFixedBytes);
  if (head.mark != kTcpFrameMark || head.count == 0 || head.count > kTcpFramePutsMax) {
    lose("the peer sent bytes that are no frame");
    return false;
  }
  const size_t bytes = TcpFrameHead::bytes_for(head.count);
  std::memcpy(static_cast<void*>(&head), stage_.data() + stage_begin_, bytes);
  if (const Status status = check_puts(head); !status.ok()) {
    lose(status.message());
    return false;
  }
  stage_begin_ += bytes;
  in_ = head;
  in_reported_ = in_complete_ = received_ = 0;
  return true;
}

Status TcpLink::check_puts(const TcpFrameHead& head) const {
  for (uint32_t i = 0; i < head.count; ++i) {
    const TcpPutHead& put = head.puts[i];
    if (put.slot >= options_.slots.size()) {
      return Status(Code::invalid_argument, "the peer put to slot " + std::to_string(put.slot) +
                                                " of " + std::to_string(options_.slots.size()));
    }
    if (put.bytes > options_.slots[put.slot].bytes) {
      return Status(Code::invalid_argument, "the peer put " + std::to_string(put.bytes) +
                                                " bytes to a slot of " +
                                                std::to_string(options_.slots[put.slot].bytes));
    }
  }
  return {};
}

// The rest of the frame's payloads goes to their slots; what comes behind it goes to the stage. TLS
// has bytes without a system call: then the stage takes the next frame's head only, and no payload
// passes it.
bool TcpLink::read_more() {
  if (!is_readable_) return false;
  std::memmove(stage_.data(), stage_.data() + stage_begin_, stage_end_ - stage_begin_);
  stage_end_ -= stage_begin_;
  stage_begin_ = 0;
  std::array<iovec, kTcpFramePutsMax + 1> pieces;
  const uint32_t end = end_of_read();
  size_t count = gather_slots(pieces, end);
  if (end == in_.count) {
    const size_t wanted = stream_.is_plain() ? kStageBytes - stage_end_
                          : is_in_frame()    ? TcpFrameHead::kFixedBytes
                                             : head_bytes_missing();
    pieces[count++] = {stage_.data() + stage_end_, wanted};
  }
  const ssize_t result = stream_.receive(std::span(pieces).first(count));
  if (result <= 0) {
    on_read_error(result);
    return false;
  }
  advance_received(static_cast<size_t>(result));
  return true;
}

// The frame's puts up to this one are read at once: not so many that other links wait long.
uint32_t TcpLink::end_of_read() const {
  size_t bytes = 0;
  uint32_t end = in_complete_;
  while (end < in_.count && bytes < kBytesPerPoll) bytes += in_.puts[end++].bytes;
  return end;
}

size_t TcpLink::gather_slots(std::span<iovec> pieces, uint32_t end) {
  size_t count = 0;
  for (uint32_t i = in_complete_; i < end; ++i) {
    const uint32_t skip = i == in_complete_ ? received_ : 0;
    const TcpPutHead& put = in_.puts[i];
    if (put.bytes == skip) continue;
    pieces[count++] = {options_.slots[put.slot].data + skip, put.bytes - skip};
  }
  return count;
}

void TcpLink::advance_received(size_t bytes) {
  while (in_complete_ < in_.count) {
    const uint32_t left = in_.puts[in_complete_].bytes - received_;
    if (bytes < left) {
      received_ += static_cast<uint32_t>(bytes);
      return;
    }
    bytes -= left;
    received_ = 0;
    ++in_complete_;
  }
  stage_end_ += bytes;
}

void TcpLink::take_payloads_from_stage() {
  while (in_complete_ < in_.count) {
    const TcpPutHead& put = in_.puts[in_complete_];
    const size_t count = std::min<size_t>(stage_end_ - stage_begin_, put.bytes - received_);
    if (count > 0) {
      std::memcpy(options_.slots[put.slot].data + received_, stage_.data() + stage_begin_, count);
    }
    stage_begin_ += count;
    received_ += static_cast<uint32_t>(count);
    if (received_ < put.bytes) return;
    received_ = 0;
    ++in_complete_;
  }
}

void TcpLink::on_read_error(ssize_t result) {
  if (result < 0 && would_block()) {
    is_readable_ = errno == EINTR;
    return;
  }
  const bool is_inside = is_in_frame() || stage_begin_ != stage_end_;
  lose(result < 0  ? "the connection broke: " + stream_.failure()
       : is_inside ? "the peer closed the connection inside a frame"
                   : "the peer has closed the connection");
}

void TcpLink::lose(std::string reason) {
  if (is_lost_) return;
  is_lost_ = true;
  lost_reason_ = std::move(reason);
}

}  // namespace phub::transport
