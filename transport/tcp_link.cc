#include "transport/tcp_link.h"

#include <sys/uio.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace phub::transport {
namespace {

constexpr size_t kFramesPerCall = 64;
constexpr size_t kBytesPerPoll = 1u << 20;  // Then the other links have their turn.

static_assert(std::endian::native == std::endian::little, "frames are sent as they lie in memory");

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
  out_[staged_++ & (out_.size() - 1)] = {
      {put.tag, put.slot, put.bytes, kMark}, put.data, put.cookie};
  return true;
}

void TcpLink::flush() {
  while (!is_lost_ && is_writable_ && (written_ != staged_ || stream_.has_unsent())) {
    std::array<iovec, 2 * kFramesPerCall> pieces;
    const uint64_t end = std::min<uint64_t>(staged_, written_ + kFramesPerCall);
    size_t count = 0;
    size_t skip = written_bytes_;  // Of the first frame only.
    for (uint64_t i = written_; i != end; ++i) {
      Outgoing& put = out_[i & (out_.size() - 1)];
      const auto add = [&](const void* data, size_t bytes) {
        const size_t skipped = std::min(skip, bytes);
        skip -= skipped;
        if (skipped == bytes) return;
        pieces[count++] = {const_cast<char*>(static_cast<const char*>(data)) + skipped,
                           bytes - skipped};
      };
      add(&put.frame, sizeof(Frame));
      add(put.data, put.frame.bytes);
    }
    const ssize_t sent = stream_.send(std::span(pieces).first(count));
    if (sent < 0) {
      is_writable_ = errno == EINTR;
      // A broken connection: the read finds what came before its end, and why it ended.
      if (!would_block()) is_readable_ = true;
      return;
    }
    advance_sent(static_cast<size_t>(sent));
  }
}

void TcpLink::advance_sent(size_t bytes) {
  bytes += written_bytes_;
  while (written_ != staged_) {
    const size_t whole = sizeof(Frame) + out_[written_ & (out_.size() - 1)].frame.bytes;
    if (bytes < whole) break;
    bytes -= whole;
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
  return !is_readable_ && reported_ == written_ &&
         !(is_writable_ && (written_ != staged_ || stream_.has_unsent())) &&
         (is_in_payload_ ? stage_begin_ == stage_end_ : stage_end_ - stage_begin_ < sizeof(Frame));
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
    if (!is_in_payload_ && !take_frame()) {
      if (is_lost_ || !read_more()) break;
      continue;
    }
    take_payload_from_stage();
    if (received_ < in_.bytes) {
      if (!read_more()) break;
      continue;
    }
    is_in_payload_ = false;
    bytes += in_.bytes;
    events[filled++] = {.kind = EventKind::arrived,
                        .link = id_,
                        .tag = in_.tag,
                        .bytes = in_.bytes,
                        .data = options_.slots[in_.slot].data};
  }
  return filled;
}

// The next frame's head out of the stage; false: it is not whole yet, or the link is lost.
bool TcpLink::take_frame() {
  if (stage_end_ - stage_begin_ < sizeof(Frame)) return false;
  std::memcpy(&in_, stage_.data() + stage_begin_, sizeof(Frame));
  stage_begin_ += sizeof(Frame);
  if (in_.mark != kMark) {
    lose("the peer sent bytes that are no frame");
  } else if (in_.slot >= options_.slots.size()) {
    lose("the peer put to slot " + std::to_string(in_.slot) + " of " +
         std::to_string(options_.slots.size()));
  } else if (in_.bytes > options_.slots[in_.slot].bytes) {
    lose("the peer put " + std::to_string(in_.bytes) + " bytes to a slot of " +
         std::to_string(options_.slots[in_.slot].bytes));
  }
  is_in_payload_ = !is_lost_;
  received_ = 0;
  return is_in_payload_;
}

void TcpLink::take_payload_from_stage() {
  const size_t count = std::min<size_t>(stage_end_ - stage_begin_, in_.bytes - received_);
  if (count == 0) return;
  std::memcpy(options_.slots[in_.slot].data + received_, stage_.data() + stage_begin_, count);
  stage_begin_ += count;
  received_ += static_cast<uint32_t>(count);
}

// The rest of the payload goes to its slot; what comes behind it goes to the stage. TLS has bytes
// without a system call: then the stage takes the next frame's head only, and no payload passes it.
bool TcpLink::read_more() {
  if (!is_readable_) return false;
  std::memmove(stage_.data(), stage_.data() + stage_begin_, stage_end_ - stage_begin_);
  stage_end_ -= stage_begin_;
  stage_begin_ = 0;
  std::array<iovec, 2> pieces;
  size_t count = 0;
  const size_t wanted = is_in_payload_ ? in_.bytes - received_ : 0;
  if (wanted > 0) pieces[count++] = {options_.slots[in_.slot].data + received_, wanted};
  const size_t stage_bytes = stream_.is_plain() ? kStageBytes : sizeof(Frame);
  if (stage_end_ < stage_bytes) {
    pieces[count++] = {stage_.data() + stage_end_, stage_bytes - stage_end_};
  }
  const ssize_t result = stream_.receive(std::span(pieces).first(count));
  if (result <= 0) {
    on_read_error(result);
    return false;
  }
  const size_t direct = std::min(wanted, static_cast<size_t>(result));
  received_ += static_cast<uint32_t>(direct);
  stage_end_ += static_cast<size_t>(result) - direct;
  return true;
}

void TcpLink::on_read_error(ssize_t result) {
  if (result < 0 && would_block()) {
    is_readable_ = errno == EINTR;
    return;
  }
  const bool is_inside = is_in_payload_ || stage_begin_ != stage_end_;
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
