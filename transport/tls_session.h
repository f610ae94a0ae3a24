// TLS 1.3 of one connection: OpenSSL makes and reads the records; this class gives it records worth
// their overhead and moves them between it and the socket, several in one system call.
//
// What the calls mean: byte_stream.h. An end without close_notify is an end like any other: frames
// say their length and leaving is a message, so a cut says nothing that a peer's death would not.
// Memory: kBufferBytes here, about 60 KiB in OpenSSL.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

struct bio_st;  // OpenSSL's.
struct ssl_st;
struct x509_store_ctx_st;

namespace phub::transport {

// What a connection over TLS costs in memory: the buffers here, and OpenSSL's own.
constexpr uint64_t kTlsStreamBytes = 128 << 10;

class TlsSession {
 public:
  // ssl: this object's from now on, and knows its role. socket: the stream's.
  TlsSession(ssl_st* ssl, int socket, uint64_t records_per_key);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  ssize_t receive(std::span<const iovec> pieces);
  ssize_t receive_buffered(std::span<const iovec> pieces);
  ssize_t send(std::span<const iovec> pieces);
  int handshake();
  bool is_established() const { return is_established_; }
  bool has_unsent() const { return out_begin_ != out_end_; }
  const std::string& failure() const { return failure_; }

  // Called by OpenSSL. verify: why a certificate is refused is known only while it is looked at.
  static int verify(int is_good, x509_store_ctx_st* store);
  static int bio_read(bio_st* bio, char* to, int bytes);
  static int bio_write(bio_st* bio, const char* from, int bytes);
  static long bio_control(bio_st* bio, int what, long number, void* pointer);

 private:
  static constexpr size_t kRecordBytes = 16 << 10;
  static constexpr size_t kRecordRoom = kRecordBytes + 512;  // With its overhead and a KeyUpdate.
  static constexpr size_t kBufferBytes = 4 * kRecordRoom;

  // What an OpenSSL call that did not succeed means, as errno; notes failures.
  int on_error(int result);
  bool flush();
  bool has_room() const { return kBufferBytes - out_end_ >= kRecordRoom; }
  void count_record();

  ssl_st* const ssl_;
  const int socket_;
  const uint64_t records_per_key_;
  uint64_t records_ = 0;  // Under the present key.
  bool is_established_ = false;
  bool has_peer_ended_ = false;
  bool has_spoken_ = false;
  bool may_fill_ = true;  // bio_read may ask the socket.
  int socket_error_ = 0;  // Of the last read of the socket; 0: it was fine.
  std::string failure_;
  std::string refusal_;  // Why the peer's certificate was refused.

  // Records that wait for the socket. Those that come are read ahead by OpenSSL itself.
  std::unique_ptr<std::byte[]> out_;
  size_t out_begin_ = 0;
  size_t out_end_ = 0;
};

}  // namespace phub::transport
