// One connected byte stream that links and sessions read and write: a nonblocking socket, plain or
// with TLS over it. Calls are those of the kernel: a count, or -1 and errno.
//
// A plain stream is the system call itself. Over TLS bytes lie between the caller and the socket,
// in both directions; what follows for callers:
//   * receive() may have more although the socket is silent: only EAGAIN says that there is
//     nothing. After EAGAIN any edge, readable or writable, is a reason to try again.
//   * has_unsent(): bytes that send() took are still here; send() again, with or without more, when
//     the socket is writable.
//   * the handshake happens inside; until it is over, both calls say EAGAIN.
//   * EPROTO: the TLS of this stream has failed; failure() says why.
// Thread-safety: none. Nothing is allocated per call, except by OpenSSL in a handshake.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <memory>
#include <span>
#include <string>

#include "base/fd.h"
#include "transport/tls_session.h"

namespace phub::transport {

class ByteStream {
 public:
  ByteStream() = default;
  ByteStream(base::Fd socket) : socket_(std::move(socket)) {}  // NOLINT: a plain one is a socket.
  ByteStream(base::Fd socket, std::unique_ptr<TlsSession> tls)
      : socket_(std::move(socket)), tls_(std::move(tls)) {}
  ByteStream(ByteStream&&) noexcept = default;
  ByteStream& operator=(ByteStream&& other) noexcept {
    tls_ = std::move(other.tls_);  // Says goodbye over the socket that goes next.
    socket_ = std::move(other.socket_);
    return *this;
  }

  bool valid() const { return socket_.valid(); }
  int fd() const { return socket_.get(); }
  bool is_plain() const { return tls_ == nullptr; }

  // Fills the pieces in order; 0: the peer has ended its half.
  ssize_t receive(std::span<const iovec> pieces) {
    if (is_plain()) return ::readv(fd(), pieces.data(), static_cast<int>(pieces.size()));
    return tls_->receive(pieces);
  }
  // The same out of what has come from the socket already: for callers that must end some time.
  ssize_t receive_buffered(std::span<const iovec> pieces) {
    if (!is_plain()) return tls_->receive_buffered(pieces);
    errno = EAGAIN;
    return -1;
  }
  ssize_t send(std::span<const iovec> pieces) {
    if (!is_plain()) return tls_->send(pieces);
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces.data());
    message.msg_iovlen = pieces.size();
    return ::sendmsg(fd(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  // The handshake is over; plain streams need none.
  bool is_established() const { return is_plain() || tls_->is_established(); }
  // Goes on with it: 0 when it is over, else -1 and errno as above.
  int handshake() { return is_plain() ? 0 : tls_->handshake(); }
  bool has_unsent() const { return !is_plain() && tls_->has_unsent(); }
  // Why errno is EPROTO; else the text of errno.
  std::string failure() const {
    return is_plain() || tls_->failure().empty() ? base::errno_text() : tls_->failure();
  }

 private:
  base::Fd socket_;
  std::unique_ptr<TlsSession> tls_;  // Last: it says goodbye before the socket is closed.
};

}  // namespace phub::transport
