#include "transport/tls_session.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "transport/tls_text.h"

namespace phub::transport {
namespace {

// A door for OpenSSL to the buffers of a session instead of to a socket. Made once, never freed.
BIO_METHOD* bio_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "phub");
    PHUB_CHECK(made != nullptr);
    BIO_meth_set_read(made, &TlsSession::bio_read);
    BIO_meth_set_write(made, &TlsSession::bio_write);
    BIO_meth_set_ctrl(made, &TlsSession::bio_control);
    return made;
  }();
  return method;
}

TlsSession& session_of(BIO* bio) { return *static_cast<TlsSession*>(BIO_get_data(bio)); }

bool would_block(int error) {
  // A socket that is not connected yet says ENOTCONN.
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR || error == ENOTCONN;
}

// Somebody else's, which OpenSSL would take for those of the next call. Clearing costs more than
// looking.
void forget_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

// A place in a list of pieces.
class Cursor {
 public:
  explicit Cursor(std::span<const iovec> pieces) : pieces_(pieces) { skip_empty(); }
  bool is_at_end() const { return index_ == pieces_.size(); }

  // The next record's bytes: where they lie if that is a whole record's worth, else gathered, so
  // that neither the heads of frames nor small payloads need records of their own.
  std::span<const std::byte> next(std::span<std::byte> room) const {
    const std::span<const std::byte> here = rest(index_).subspan(skipped_);
    if (here.size() >= room.size()) return here.first(room.size());
    size_t filled = 0;
    size_t skip = skipped_;
    for (size_t i = index_; i < pieces_.size() && filled < room.size(); ++i) {
      const std::span<const std::byte> piece = rest(i).subspan(std::exchange(skip, 0));
      const size_t count = std::min(piece.size(), room.size() - filled);
      if (count > 0) std::memcpy(room.data() + filled, piece.data(), count);
      filled += count;
    }
    return room.first(filled);
  }
  void advance(size_t bytes) {
    while (bytes > 0) {
      const size_t count = std::min(bytes, pieces_[index_].iov_len - skipped_);
      bytes -= count;
      skipped_ += count;
      skip_empty();
    }
  }

 private:
  std::span<const std::byte> rest(size_t index) const {
    return {static_cast<const std::byte*>(pieces_[index].iov_base), pieces_[index].iov_len};
  }
  void skip_empty() {
    for (; index_ < pieces_.size() && skipped_ == pieces_[index_].iov_len; ++index_) skipped_ = 0;
  }

  std::span<const iovec> pieces_;
  size_t index_ = 0;
  size_t skipped_ = 0;
};

}  // namespace

TlsSession::TlsSession(ssl_st* ssl, int socket, uint64_t records_per_key)
    : ssl_(ssl),
      socket_(socket),
      records_per_key_(records_per_key),
      // Untouched memory costs nothing: strangers' handshakes need a page or two of it.
      out_(std::make_unique_for_overwrite<std::byte[]>(kBufferBytes)) {
  BIO* const bio = BIO_new(bio_method());
  PHUB_CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_app_data(ssl_, this);
}

TlsSession::~TlsSession() {
  if (is_established_ && failure_.empty()) {
    SSL_shutdown(ssl_);
    flush();
  }
  SSL_free(ssl_);
}

ssize_t TlsSession::receive(std::span<const iovec> pieces) {
  size_t total = 0;
  int error = failure_.empty() ? 0 : EPROTO;
  for (const iovec& piece : pieces) {
    size_t done = 0;
    while (error == 0 && !has_peer_ended_ && done < piece.iov_len) {
      forget_errors();
      const size_t wanted = std::min<size_t>(piece.iov_len - done, INT_MAX);
      const int count =
          SSL_read(ssl_, static_cast<char*>(piece.iov_base) + done, static_cast<int>(wanted));
      if (count <= 0) {
        error = on_error(count);
      } else {
        is_established_ = true;
        done += static_cast<size_t>(count);
      }
    }
    total += done;
    if (done < piece.iov_len) break;
  }
  if (has_unsent()) flush();  // Words of the handshake; or an alert, that says why this side ends.
  if (total > 0 || (error == 0 && has_peer_ended_)) return static_cast<ssize_t>(total);
  errno = error;
  return -1;
}

ssize_t TlsSession::receive_buffered(std::span<const iovec> pieces) {
  may_fill_ = false;
  const ssize_t result = receive(pieces);
  may_fill_ = true;
  return result;
}

ssize_t TlsSession::send(std::span<const iovec> pieces) {
  std::array<std::byte, kRecordBytes> gathered;  // Not filled: most of it may never be used.
  Cursor cursor(pieces);
  size_t total = 0;
  int error = failure_.empty() ? 0 : EPROTO;
  while (error == 0 && !cursor.is_at_end()) {
    if (!has_room() && !flush()) break;
    forget_errors();
    const std::span<const std::byte> record = cursor.next(gathered);
    const int count = SSL_write(ssl_, record.data(), static_cast<int>(record.size()));
    if (count <= 0) {
      error = on_error(count);
      if (error == 0) error = EPIPE;
    } else {
      is_established_ = true;
      cursor.advance(static_cast<size_t>(count));
      total += static_cast<size_t>(count);
      count_record();
    }
  }
  if (!flush() && error == 0) error = errno;
  if (total > 0 || error == 0) return static_cast<ssize_t>(total);
  errno = error;
  return -1;
}

int TlsSession::handshake() {
  if (is_established_) return 0;
  forget_errors();
  int error = failure_.empty() ? 0 : EPROTO;
  const int result = error == 0 ? SSL_do_handshake(ssl_) : -1;
  if (result == 1) {
    is_established_ = true;
  } else if (error == 0) {
    error = on_error(result);
  }
  if (!flush() && error == 0) error = errno;
  if (is_established_) return 0;
  errno = error;
  return -1;
}

int TlsSession::on_error(int result) {
  const int kind = SSL_get_error(ssl_, result);
  if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
    return EAGAIN;
  }
  const bool has_ended = kind == SSL_ERROR_ZERO_RETURN || socket_error_ == ENODATA;
  if (has_ended && is_established_) {
    has_peer_ended_ = true;
    return 0;
  }
  if (kind == SSL_ERROR_SYSCALL && socket_error_ != 0 && !has_ended) return socket_error_;
  failure_ = has_ended ? "TLS: the peer closed the connection during the handshake"
                       : tls_failure_text(ssl_, refusal_);
  if (!has_ended && !has_spoken_) {
    // To bytes that are no TLS at all OpenSSL has no answer; this one tells their sender.
    constexpr std::array<char, 7> kProtocolVersionAlert = {0x15, 3, 3, 0, 2, 2, 70};
    std::memcpy(out_.get(), kProtocolVersionAlert.data(), kProtocolVersionAlert.size());
    out_end_ = kProtocolVersionAlert.size();
    flush();
  }
  return EPROTO;
}

void TlsSession::count_record() {
  if (++records_ < records_per_key_) return;
  records_ = 0;
  SSL_key_update(ssl_, SSL_KEY_UPDATE_NOT_REQUESTED);  // Leaves with the next record.
}

// False, and errno: some could not be sent.
bool TlsSession::flush() {
  while (has_unsent()) {
    const ssize_t count = ::send(socket_, out_.get() + out_begin_, out_end_ - out_begin_,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      if (errno == ENOTCONN) errno = EAGAIN;
      return false;
    }
    out_begin_ += static_cast<size_t>(count);
  }
  out_begin_ = out_end_ = 0;
  return true;
}

int TlsSession::bio_read(bio_st* bio, char* to, int bytes) {
  TlsSession& self = session_of(bio);
  BIO_clear_retry_flags(bio);
  ssize_t count = -1;
  errno = EAGAIN;
  if (self.may_fill_) {
    count = ::recv(self.socket_, to, static_cast<size_t>(bytes), MSG_DONTWAIT);
  }
  self.socket_error_ = count > 0 ? 0 : count == 0 ? ENODATA : errno;  // ENODATA: the end.
  if (count < 0 && would_block(errno)) BIO_set_retry_read(bio);
  return static_cast<int>(count);
}

int TlsSession::bio_write(bio_st* bio, const char* from, int bytes) {
  TlsSession& self = session_of(bio);
  BIO_clear_retry_flags(bio);
  self.has_spoken_ = true;
  const auto wanted = static_cast<size_t>(bytes);
  if (kBufferBytes - self.out_end_ < wanted && !self.flush() && !would_block(errno)) return -1;
  const size_t count = std::min(wanted, kBufferBytes - self.out_end_);
  if (count == 0) {
    BIO_set_retry_write(bio);
    return -1;
  }
  std::memcpy(self.out_.get() + self.out_end_, from, count);
  self.out_end_ += count;
  return static_cast<int>(count);
}

long TlsSession::bio_control(bio_st* bio, int what, long, void*) {
  if (what == BIO_CTRL_FLUSH) return 1;  // Done by whoever called OpenSSL.
  if (what == BIO_CTRL_EOF) return session_of(bio).socket_error_ == ENODATA ? 1 : 0;
  return 0;
}

int TlsSession::verify(int is_good, x509_store_ctx_st* store) {
  if (is_good == 1) return 1;
  const void* const ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  auto* const self =
      static_cast<TlsSession*>(SSL_get_app_data(static_cast<ssl_st*>(const_cast<void*>(ssl))));
  if (self != nullptr) self->refusal_ = refusal_text(store, SSL_is_server(self->ssl_) == 1);
  return 0;
}

}  // namespace phub::transport
