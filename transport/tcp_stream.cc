#include "transport/tcp_stream.h"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace phub::transport {
namespace {

constexpr size_t kBytesPerPoll = 1u << 20;  // Then the other links have their turn.

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

void TcpStream::attach(ByteStream stream) {
  PHUB_CHECK(!is_attached());
  stream_ = std::move(stream);
  is_readable_ = is_writable_ = true;
}

void TcpStream::on_ready(bool is_readable, bool is_writable) {
  if (!stream_.is_plain()) is_readable = is_writable = true;  // Either may wait for either.
  is_readable_ |= is_readable;
  is_writable_ |= is_writable;
}

bool TcpStream::send(TcpPutQueue& puts, uint64_t frame_bytes) {
  if (!can_send(puts)) return false;
  if (is_out_frame_done() && puts.is_waiting()) begin_frame(puts, frame_bytes);
  std::array<iovec, kTcpFramePutsMax + 1> pieces;
  const ssize_t sent = stream_.send(std::span(pieces).first(gather_frame(pieces)));
  if (sent < 0) {
    is_writable_ = errno == EINTR;
    // A broken connection: the read finds what came before its end, and why it ended.
    if (!would_block()) is_readable_ = true;
    return false;
  }
  advance_sent(static_cast<size_t>(sent), puts);
  return true;
}

// Of all that waits, as much as a frame holds and its share allows.
void TcpStream::begin_frame(TcpPutQueue& puts, uint64_t frame_bytes) {
  out_.count = out_done_ = 0;
  out_head_bytes_ = out_put_bytes_ = 0;
  uint64_t bytes = 0;
  while (puts.is_waiting() && out_.count < kTcpFramePutsMax && bytes < frame_bytes) {
    const Put& put = puts.front();
    out_.puts[out_.count] = {put.tag, put.slot, put.bytes};
    out_data_[out_.count] = put.data;
    out_cookies_[out_.count++] = put.cookie;
    bytes += put.bytes;
    puts.pop();
  }
}

// What has not left of the frame: the rest of its head, then of its payloads.
size_t TcpStream::gather_frame(std::span<iovec> pieces) const {
  size_t count = 0;
  const auto add = [&](const void* data, size_t bytes, size_t skip) {
    if (bytes == skip) return;
    pieces[count++] = {const_cast<char*>(static_cast<const char*>(data)) + skip, bytes - skip};
  };
  if (is_out_frame_done()) return 0;
  add(&out_, TcpFrameHead::bytes_for(out_.count), out_head_bytes_);
  for (uint32_t i = out_done_; i != out_.count; ++i) {
    add(out_data_[i], out_.puts[i].bytes, i == out_done_ ? out_put_bytes_ : 0);
  }
  return count;
}

void TcpStream::advance_sent(size_t bytes, TcpPutQueue& puts) {
  const size_t of_head = std::min(bytes, TcpFrameHead::bytes_for(out_.count) - out_head_bytes_);
  out_head_bytes_ += of_head;
  bytes -= of_head;
  if (out_head_bytes_ < TcpFrameHead::bytes_for(out_.count)) return;
  bytes += out_put_bytes_;
  while (!is_out_frame_done() && bytes >= out_.puts[out_done_].bytes) {
    bytes -= out_.puts[out_done_].bytes;
    puts.finish(out_cookies_[out_done_++]);
  }
  out_put_bytes_ = bytes;
}

bool TcpStream::is_dry() const {
  if (has_failed_) return true;
  return !is_readable_ && in_reported_ == in_complete_ &&
         (is_in_frame() ? stage_begin_ == stage_end_ : head_bytes_missing() > 0);
}

size_t TcpStream::receive(std::span<Event> events, size_t& bytes) {
  size_t filled = 0;
  while (!has_failed_ && filled < events.size() && bytes < kBytesPerPoll) {
    if (in_reported_ != in_complete_) {
      const TcpPutHead& put = in_.puts[in_reported_++];
      bytes += put.bytes;
      events[filled++] = {.kind = EventKind::arrived,
                          .link = link_,
                          .tag = put.tag,
                          .bytes = put.bytes,
                          .data = slots_[put.slot].data};
    } else if (is_in_frame()) {
      take_payloads_from_stage();
      if (in_reported_ == in_complete_ && !read_more()) break;
    } else if (!take_head()) {
      if (has_failed_ || !read_more()) break;
    }
  }
  return filled;
}

// Of the next frame's head, what the stage does not have yet.
size_t TcpStream::head_bytes_missing() const {
  const size_t staged = stage_end_ - stage_begin_;
  if (staged < TcpFrameHead::kFixedBytes) return TcpFrameHead::kFixedBytes - staged;
  uint32_t count = 0;
  std::memcpy(&count, stage_.data() + stage_begin_ + sizeof(uint32_t), sizeof(count));
  // With too many puts it is no frame; that is seen without waiting for them.
  const size_t whole = TcpFrameHead::bytes_for(count > kTcpFramePutsMax ? 0 : count);
  return whole - std::min(whole, staged);
}

// The next frame's head out of the stage; false: it is not whole yet, or the connection has failed.
bool TcpStream::take_head() {
  if (head_bytes_missing() > 0) return false;
  TcpFrameHead head;
  std::memcpy(static_cast<void*>(&head), stage_.data() + stage_begin_, TcpFrameHead::kFixedBytes);
  if (head.mark != kTcpFrameMark || head.count == 0 || head.count > kTcpFramePutsMax) {
    fail("the peer sent bytes that are no frame");
    return false;
  }
  const size_t bytes = TcpFrameHead::bytes_for(head.count);
  std::memcpy(static_cast<void*>(&head), stage_.data() + stage_begin_, bytes);
  if (const Status status = check_puts(head); !status.ok()) {
    fail(status.message());
    return false;
  }
  stage_begin_ += bytes;
  in_ = head;
  in_reported_ = in_complete_ = received_ = 0;
  return true;
}

Status TcpStream::check_puts(const TcpFrameHead& head) const {
  for (uint32_t i = 0; i < head.count; ++i) {
    const TcpPutHead& put = head.puts[i];
    if (put.slot >= slots_.size()) {
      return Status(Code::invalid_argument, "the peer put to slot " + std::to_string(put.slot) +
                                                " of " + std::to_string(slots_.size()));
    }
    if (put.bytes > slots_[put.slot].bytes) {
      return Status(Code::invalid_argument, "the peer put " + std::to_string(put.bytes) +
                                                " bytes to a slot of " +
                                                std::to_string(slots_[put.slot].bytes));
    }
  }
  return {};
}

// The rest of the frame's payloads goes to their slots; what comes behind it goes to the stage. TLS
// has bytes without a system call: then the stage takes the next frame's head only, and no payload
// passes it.
bool TcpStream::read_more() {
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
uint32_t TcpStream::end_of_read() const {
  size_t bytes = 0;
  uint32_t end = in_complete_;
  while (end < in_.count && bytes < kBytesPerPoll) bytes += in_.puts[end++].bytes;
  return end;
}

size_t TcpStream::gather_slots(std::span<iovec> pieces, uint32_t end) const {
  size_t count = 0;
  for (uint32_t i = in_complete_; i < end; ++i) {
    const uint32_t skip = i == in_complete_ ? received_ : 0;
    const TcpPutHead& put = in_.puts[i];
    if (put.bytes == skip) continue;
    pieces[count++] = {slots_[put.slot].data + skip, put.bytes - skip};
  }
  return count;
}

void TcpStream::advance_received(size_t bytes) {
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

void TcpStream::take_payloads_from_stage() {
  while (in_complete_ < in_.count) {
    const TcpPutHead& put = in_.puts[in_complete_];
    const size_t count = std::min<size_t>(stage_end_ - stage_begin_, put.bytes - received_);
    if (count > 0) {
      std::memcpy(slots_[put.slot].data + received_, stage_.data() + stage_begin_, count);
    }
    stage_begin_ += count;
    received_ += static_cast<uint32_t>(count);
    if (received_ < put.bytes) return;
    received_ = 0;
    ++in_complete_;
  }
}

void TcpStream::on_read_error(ssize_t result) {
  if (result < 0 && would_block()) {
    is_readable_ = errno == EINTR;
    return;
  }
  const bool is_inside = is_in_frame() || stage_begin_ != stage_end_;
  fail(result < 0  ? "the connection broke: " + stream_.failure()
       : is_inside ? "the peer closed the connection inside a frame"
                   : "the peer has closed the connection");
}

void TcpStream::fail(std::string reason) {
  has_failed_ = true;
  failure_ = std::move(reason);
}

}  // namespace phub::transport
