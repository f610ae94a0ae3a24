// Session messages over a stream: a Unix socket with the descriptors that belong to them, a TCP
// connection, or TLS over one.
//
// No thread and no clock: the owner polls fd() and calls read and write. Heartbeats pass through as
// ordinary messages. What a peer can make this side hold is bounded: one frame of at most
// `frame_limit` bytes and that frame's descriptors (none while the limit is kFrameBytesBeforeAuth
// or less).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "exchange/session.h"
#include "transport/byte_stream.h"

namespace phub::exchange {

// Thread-safety: none.
class SessionStream {
 public:
  // stream: connected; made nonblocking here.
  SessionStream(transport::ByteStream stream, uint32_t frame_limit);

  int fd() const { return stream_.fd(); }
  // Holds from the next frame whose header is read. Frames that one read() returns together were
  // all held to the limit of before: raise it only when the peer waits for an answer.
  void set_frame_limit(uint32_t frame_limit) { frame_limit_ = frame_limit; }

  // Appends the whole messages that have come; takes at most a few MiB at once, so poll
  // level-triggered. Not ok: the connection is over; messages appended before are valid.
  // unavailable: the peer closed.  invalid_argument: broken bytes; says which and why.
  Status read(std::vector<Message>& messages);

  // REQUIRES: message.fds as many as the body's fd_counts say; none for other bodies.
  void queue(Message&& message);
  // Sends what the socket takes now. unavailable: the connection is over.
  Status write();
  // write() can get on when the socket is writable. Not in the middle of a TLS handshake, where
  // what is queued waits for the peer's words: has_unsent() is true then, too.
  bool wants_write() const {
    return stream_.has_unsent() || (!outbox_.empty() && stream_.is_established());
  }
  bool has_unsent() const { return stream_.has_unsent() || !outbox_.empty(); }
  size_t queued_bytes() const { return queued_bytes_; }

 private:
  struct Outgoing {
    std::string bytes;
    size_t sent = 0;
    std::vector<base::Fd> fds;  // Travel with the frame's first byte.
  };

  Result<size_t> receive_some(bool only_buffered);
  ssize_t receive_bytes(std::span<std::byte> bytes, bool only_buffered, bool* has_lost_fds);
  ssize_t send_bytes(Outgoing& frame);
  Status explain_end() const;
  Status take_frames(std::vector<Message>& messages);
  Status check_surplus_fds() const;

  transport::ByteStream stream_;
  uint32_t frame_limit_;
  std::vector<std::byte> inbox_;  // Bytes of frames not yet whole.
  std::deque<base::Fd> inbox_fds_;
  std::deque<Outgoing> outbox_;
  size_t queued_bytes_ = 0;
};

// A connection, nonblocking. invalid_argument: the path is too long.  unavailable: nobody listens
// there (said at once).  permission_denied: the socket's mode.  timed_out: somebody listens, but
// did not accept by the deadline.
Result<base::Fd> connect_unix(const std::string& path, base::Instant deadline);

// Who may connect: the owner, and whom the file's mode and group let write to it.
constexpr gid_t kNoGroup = static_cast<gid_t>(-1);
struct SocketAccess {
  mode_t mode = 0600;
  gid_t group = kNoGroup;  // kNoGroup: the one that the kernel gives it.
};

// A nonblocking listener at `path` for those whom `access` lets in. A socket file that nobody
// listens on is replaced. The file stays after close: the owner unlinks it.
// already_exists: somebody listens there, or the file is not a socket. permission_denied: the
// folder, or a group that this process does not belong to.
Result<base::Fd> listen_unix(const std::string& path, SocketAccess access = {});

// Who connected, as the kernel says (SO_PEERCRED).
struct Peer {
  base::Fd socket;  // Nonblocking; not valid: nobody was waiting.
  pid_t process = 0;
  uid_t user = 0;
};
// resource_exhausted: out of descriptors; the listener stays readable, so pause before the next
// try.
Result<Peer> accept_unix(int listener);

}  // namespace phub::exchange
