// One end of a TCP link: its unfinished puts and the connections that they leave on, each put on
// one that can send, several frames at once if there are several connections.
//
// `sent` means that the kernel has the bytes, or TLS its encrypted copy. A connection that fails
// costs the link, once what the others have brought so far is reported.
// Nothing is allocated after construction, except the text of a loss.
#pragma once

#include <string>
#include <vector>

#include "transport/byte_stream.h"
#include "transport/fabric.h"
#include "transport/tcp_put_queue.h"
#include "transport/tcp_stream.h"

namespace phub::transport {

class TcpLink {
 public:
  // puts_max: this side's unfinished puts. stream_count: at least 1.
  TcpLink(LinkId id, LinkOptions options, uint32_t puts_max, uint32_t stream_count);
  TcpLink(const TcpLink&) = delete;
  TcpLink& operator=(const TcpLink&) = delete;

  // A connection, `number` from 0. Puts staged before are sent then.
  // REQUIRES: it is not attached yet.
  void attach(uint32_t number, ByteStream stream);
  bool is_attached(uint32_t number) const { return streams_[number].is_attached(); }
  // All are: the link is up.
  bool is_up() const { return attached_count_ == streams_.size(); }
  uint32_t stream_count() const { return static_cast<uint32_t>(streams_.size()); }

  // False: full.
  bool stage(const Put& put);
  void flush();
  // What epoll has told of a connection, edge by edge.
  void on_ready(uint32_t number, bool is_readable, bool is_writable) {
    streams_[number].on_ready(is_readable, is_writable);
  }
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
  uint64_t frame_bytes() const;
  size_t receive(std::span<Event> events);
  void check_failures();

  const LinkId id_;
  const LinkOptions options_;
  TcpPutQueue puts_;
  std::vector<TcpStream> streams_;
  uint32_t attached_count_ = 0;
  size_t next_sender_ = 0;    // The connection whose turn it is,
  size_t next_receiver_ = 0;  // so that none waits for busy others.
  bool is_lost_ = false;
  bool is_loss_reported_ = false;
  std::string lost_reason_;
};

}  // namespace phub::transport
