#include "exchange/session_stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/try.h"
#include "exchange/session_codec.h"

namespace phub::exchange {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kReadBytesPerCall = 4 << 20;  // One busy peer must not starve the others.
constexpr size_t kKernelFdsMax = 253;          // SCM_MAX_FD: the most that one recvmsg can bring.

Status over(Code code, const std::string& what) {
  return Status(code, "session connection: " + what);
}

// Takes ownership of every descriptor in the control data, wanted or not.
void collect_fds(msghdr& header, std::deque<base::Fd>& fds) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
}

}  // namespace

SessionStream::SessionStream(transport::ByteStream stream, uint32_t frame_limit)
    : stream_(std::move(stream)), frame_limit_(frame_limit) {
  const int flags = ::fcntl(stream_.fd(), F_GETFL);
  PHUB_CHECK(flags >= 0 && ::fcntl(stream_.fd(), F_SETFL, flags | O_NONBLOCK) == 0);
}

Status SessionStream::read(std::vector<Message>& messages) {
  for (size_t total = 0;;) {
    // What TLS has taken from the socket does not make that readable again: it is read to its end.
    PHUB_TRY_ASSIGN(const size_t count, receive_some(total >= kReadBytesPerCall));
    if (count == 0) break;
    total += count;
    PHUB_TRY(take_frames(messages));
    PHUB_TRY(check_surplus_fds());
  }
  // A connection is quiet for most of its life, and a hub has many.
  if (inbox_.empty()) std::vector<std::byte>().swap(inbox_);
  return {};
}

// As recv(), and takes the descriptors that came along.
ssize_t SessionStream::receive_bytes(std::span<std::byte> bytes, bool only_buffered,
                                     bool* has_lost_fds) {
  iovec place{bytes.data(), bytes.size()};
  if (only_buffered) return stream_.receive_buffered({&place, 1});
  if (!stream_.is_plain()) return stream_.receive({&place, 1});
  alignas(cmsghdr) char control[CMSG_SPACE(kKernelFdsMax * sizeof(int))];
  msghdr header{};
  header.msg_iov = &place;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  const ssize_t count = ::recvmsg(stream_.fd(), &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (count < 0) return count;
  collect_fds(header, inbox_fds_);
  *has_lost_fds = (header.msg_flags & MSG_CTRUNC) != 0;
  return count;
}

// Bytes received; 0: none are there now.
Result<size_t> SessionStream::receive_some(bool only_buffered) {
  std::array<std::byte, kReadBytes> bytes;
  bool has_lost_fds = false;
  ssize_t count = 0;
  do {
    count = receive_bytes(bytes, only_buffered, &has_lost_fds);
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return size_t{0};
    const Code code = errno == EPROTO ? Code::permission_denied : Code::unavailable;
    return over(code, stream_.failure());
  }
  inbox_.insert(inbox_.end(), bytes.begin(), bytes.begin() + count);
  if (count == 0) return explain_end();
  if (has_lost_fds) {
    return over(Code::invalid_argument,
                "descriptors were lost: the peer sent too many, or this process has no room for "
                "more; raise the limit with `ulimit -n`");
  }
  return static_cast<size_t>(count);
}

Status SessionStream::explain_end() const {
  // A TLS alert, of any version of TLS: the answer to bytes that are no handshake.
  constexpr std::array kAlert = {std::byte{0x15}, std::byte{0x03}};
  if (inbox_.size() >= kAlert.size() && std::equal(kAlert.begin(), kAlert.end(), inbox_.begin())) {
    return over(Code::unavailable, "the peer speaks TLS; connect to it by tls://, not tcp://");
  }
  const std::string where =
      inbox_.empty() ? "" : " after " + std::to_string(inbox_.size()) + " bytes of a frame";
  return over(Code::unavailable, "closed by the peer" + where);
}

Status SessionStream::take_frames(std::vector<Message>& messages) {
  size_t begin = 0;
  while (inbox_.size() - begin >= kFrameHeaderBytes) {
    const std::span<const std::byte> bytes = std::span(inbox_).subspan(begin);
    Result<FrameHeader> header = read_frame_header(bytes.first(kFrameHeaderBytes), frame_limit_);
    if (!header.ok()) return header.status().with_context("session connection");
    if (bytes.size() < header->frame_bytes()) break;
    if (inbox_fds_.size() < header->fd_count) {
      return over(Code::invalid_argument,
                  "a frame says it has " + std::to_string(header->fd_count) +
                      " descriptors, but came with " + std::to_string(inbox_fds_.size()));
    }
    Result<Body> body = decode(bytes.first(header->frame_bytes()));
    if (!body.ok()) return body.status().with_context("session connection");
    Message& message = messages.emplace_back();
    message.body = *std::move(body);
    for (uint32_t i = 0; i < header->fd_count; ++i) {
      message.fds.push_back(std::move(inbox_fds_.front()));
      inbox_fds_.pop_front();
    }
    begin += header->frame_bytes();
  }
  inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<ptrdiff_t>(begin));
  return {};
}

// After take_frames at most one frame is under way, and only its descriptors may be waiting.
Status SessionStream::check_surplus_fds() const {
  size_t allowed = 0;
  if (inbox_.size() >= kFrameHeaderBytes) {
    PHUB_TRY_ASSIGN(const FrameHeader header,
                    read_frame_header(std::span(inbox_).first(kFrameHeaderBytes), frame_limit_));
    allowed = header.fd_count;
  } else if (!inbox_.empty() && frame_limit_ > kFrameBytesBeforeAuth) {
    allowed = kFrameFdsMax;
  }
  if (inbox_fds_.size() <= allowed) return {};
  return over(Code::invalid_argument, std::to_string(inbox_fds_.size()) +
                                          " descriptors came, but at most " +
                                          std::to_string(allowed) + " belong to a frame");
}

void SessionStream::queue(Message&& message) {
  PHUB_CHECK(message.fds.size() == fd_count(message.body));
  Outgoing& frame = outbox_.emplace_back();
  frame.bytes = encode(message.body);
  frame.fds = std::move(message.fds);
  queued_bytes_ += frame.bytes.size();
}

// As send(), with the descriptors that belong to the frame.
ssize_t SessionStream::send_bytes(Outgoing& frame) {
  const iovec place{frame.bytes.data() + frame.sent, frame.bytes.size() - frame.sent};
  if (frame.fds.empty()) return stream_.send({&place, 1});
  PHUB_CHECK(frame.fds.size() <= kFrameFdsMax && stream_.is_plain());
  alignas(cmsghdr) char control[CMSG_SPACE(kFrameFdsMax * sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = const_cast<iovec*>(&place);
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = CMSG_SPACE(frame.fds.size() * sizeof(int));
  cmsghdr* const part = CMSG_FIRSTHDR(&header);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(frame.fds.size() * sizeof(int));
  for (size_t i = 0; i < frame.fds.size(); ++i) {
    const int fd = frame.fds[i].get();
    std::memcpy(CMSG_DATA(part) + i * sizeof(int), &fd, sizeof(int));
  }
  return ::sendmsg(stream_.fd(), &header, MSG_NOSIGNAL | MSG_DONTWAIT);
}

Status SessionStream::write() {
  while (has_unsent()) {
    const ssize_t count = outbox_.empty() ? stream_.send({}) : send_bytes(outbox_.front());
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return {};
      return over(Code::unavailable, "send: " + stream_.failure());
    }
    if (outbox_.empty()) continue;
    Outgoing& frame = outbox_.front();
    frame.fds.clear();  // They are in the socket now.
    frame.sent += static_cast<size_t>(count);
    queued_bytes_ -= static_cast<size_t>(count);
    if (frame.sent == frame.bytes.size()) outbox_.pop_front();
  }
  return {};
}

}  // namespace phub::exchange
