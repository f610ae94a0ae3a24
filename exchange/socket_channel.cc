#include "exchange/socket_channel.h"

#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <deque>
#include <limits>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/thread.h"
#include "base/try.h"
#include "exchange/session_codec.h"
#include "exchange/session_stream.h"
#include "transport/tcp_socket.h"

namespace phub::exchange {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr milliseconds kFlushTime{200};

class SocketChannel final : public SessionChannel {
 public:
  SocketChannel(transport::ByteStream stream, base::Fd wake, base::Fd news)
      : wake_(std::move(wake)),
        news_(std::move(news)),
        stream_(std::move(stream), kFrameBytesMax),
        thread_("phub-session", -1, [this] { run(); }) {}

  ~SocketChannel() override {
    is_closing_.store(true, std::memory_order_release);
    base::signal_event(wake_.get());
    thread_.join();
  }

  void send(Message message) override {
    {
      const std::lock_guard lock(mutex_);
      if (!state_.ok()) return;
      outbox_.push_back(std::move(message));
    }
    base::signal_event(wake_.get());
  }

  std::optional<Message> receive(base::Instant /*now*/) override {
    const std::lock_guard lock(mutex_);
    if (inbox_.empty()) {
      // After the end the descriptor stays readable: a waiter must not sleep on a dead channel.
      if (state_.ok() && has_signalled_) {
        has_signalled_ = false;
        base::drain_event(news_.get());
      }
      return std::nullopt;
    }
    Message message = std::move(inbox_.front());
    inbox_.pop_front();
    return message;
  }

  Status state() const override {
    const std::lock_guard lock(mutex_);
    return state_;
  }

  int fd() const override { return news_.get(); }

 private:
  void run();
  Status step();
  Status read();
  void take_outbox();
  void give_inbox(std::vector<Message>& messages);
  Status check_silence(base::Instant now);
  void sleep(milliseconds limit, bool wants_read);
  milliseconds time_to_next() const;
  void flush();
  void end(const Status& why);

  const base::Fd wake_;
  const base::Fd news_;
  mutable std::mutex mutex_;
  std::vector<Message> outbox_;  // These four under mutex_.
  std::deque<Message> inbox_;
  bool has_signalled_ = false;  // news_ is readable: most calls find nothing, and ask no kernel.
  Status state_;
  std::atomic<bool> is_closing_ = false;

  // The thread's own.
  SessionStream stream_;
  nanoseconds peer_timeout_{0};  // 0: no Welcome yet, so neither heartbeats nor a verdict.
  base::Instant last_sent_;
  base::Instant last_received_;

  base::Thread thread_;  // Last: the others exist before it runs.
};

void SocketChannel::run() {
  last_sent_ = last_received_ = base::now();
  while (!is_closing_.load(std::memory_order_acquire)) {
    if (const Status status = step(); !status.ok()) {
      end(status);
      return;
    }
    sleep(time_to_next(), true);
  }
  flush();
}

// Everything that can be done now. Reads before it judges silence: a process that was stopped
// itself finds its peer's heartbeats waiting.
Status SocketChannel::step() {
  take_outbox();
  PHUB_TRY(read());
  const base::Instant now = base::now();
  PHUB_TRY(check_silence(now));
  if (stream_.wants_write()) {
    const size_t queued_bytes = stream_.queued_bytes();
    const Status written = stream_.write();
    if (!written.ok()) {
      // A hub that closes says why first; that may have come since the read above.
      PHUB_TRY(read());
      return written;
    }
    if (stream_.queued_bytes() < queued_bytes) last_sent_ = now;
  }
  return {};
}

Status SocketChannel::read() {
  std::vector<Message> messages;
  const Status status = stream_.read(messages);
  if (!messages.empty()) {
    last_received_ = base::now();
    give_inbox(messages);
  }
  return status;
}

void SocketChannel::take_outbox() {
  std::vector<Message> messages;
  {
    const std::lock_guard lock(mutex_);
    messages.swap(outbox_);
  }
  for (Message& message : messages) stream_.queue(std::move(message));
}

void SocketChannel::give_inbox(std::vector<Message>& messages) {
  bool is_news = false;
  {
    const std::lock_guard lock(mutex_);
    for (Message& message : messages) {
      if (std::holds_alternative<Heartbeat>(message.body)) continue;
      if (const auto* welcome = std::get_if<Welcome>(&message.body)) {
        peer_timeout_ = milliseconds(welcome->peer_timeout_ms);
      }
      inbox_.push_back(std::move(message));
      has_signalled_ = is_news = true;
    }
    if (is_news) base::signal_event(news_.get());
  }
}

Status SocketChannel::check_silence(base::Instant now) {
  if (peer_timeout_.count() == 0) return {};
  const nanoseconds silence = now - last_received_;
  if (silence >= peer_timeout_) {
    char text[64];
    std::snprintf(text, sizeof(text), "the hub has been silent for %.1f s",
                  static_cast<double>(silence.count()) * 1e-9);
    return Status(Code::unavailable, text);
  }
  if (now - last_sent_ >= peer_timeout_ / 4 && !stream_.wants_write()) {
    stream_.queue(Message{Heartbeat{}, {}});
  }
  return {};
}

milliseconds SocketChannel::time_to_next() const {
  if (peer_timeout_.count() == 0) return milliseconds(-1);
  const base::Instant beat = last_sent_ + peer_timeout_ / 4;
  const base::Instant death = last_received_ + peer_timeout_;
  // With bytes stuck in the socket no heartbeat is due: POLLOUT or death comes first.
  const base::Instant next = stream_.wants_write() ? death : std::min(beat, death);
  const nanoseconds left = std::max(next - base::now(), nanoseconds(0));
  return std::chrono::ceil<milliseconds>(left);
}

// limit < 0: until something happens.
void SocketChannel::sleep(milliseconds limit, bool wants_read) {
  pollfd waits[2] = {{wake_.get(), POLLIN, 0}, {stream_.fd(), 0, 0}};
  if (wants_read) waits[1].events |= POLLIN;
  if (stream_.wants_write()) waits[1].events |= POLLOUT;
  const int64_t limit_ms = std::min<int64_t>(limit.count(), std::numeric_limits<int>::max());
  ::poll(waits, 2, static_cast<int>(limit_ms));
  if (waits[0].revents != 0) base::drain_event(wake_.get());
}

// What the user sent last (a Leave, say) should still arrive; a peer that does not read is not
// waited for.
void SocketChannel::flush() {
  const base::Instant deadline = base::now() + kFlushTime;
  take_outbox();
  while (stream_.wants_write() && stream_.write().ok() && stream_.wants_write()) {
    const nanoseconds left = deadline - base::now();
    if (left.count() <= 0) return;
    sleep(std::chrono::ceil<milliseconds>(left), false);
  }
}

void SocketChannel::end(const Status& why) {
  {
    const std::lock_guard lock(mutex_);
    state_ = why;
    outbox_.clear();
  }
  base::signal_event(news_.get());
}

// Before anything else, so that what is wrong with certificates is said where the caller waits.
Status shake_hands(transport::ByteStream& stream, base::Instant deadline) {
  while (stream.handshake() != 0) {
    if (errno == EPROTO) return Status(Code::permission_denied, stream.failure());
    if (errno != EAGAIN) return Status(Code::unavailable, "TLS: " + stream.failure());
    pollfd wait = {stream.fd(), POLLIN, 0};
    if (stream.has_unsent()) wait.events |= POLLOUT;
    const nanoseconds left = deadline - base::now();
    if (left.count() <= 0) {
      return Status(Code::timed_out, "TLS: the hub did not finish the handshake in time");
    }
    ::poll(&wait, 1, static_cast<int>(std::chrono::ceil<milliseconds>(left).count()));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<SessionChannel>> make_session(transport::ByteStream stream) {
  PHUB_TRY_ASSIGN(base::Fd wake, base::make_event_fd());
  PHUB_TRY_ASSIGN(base::Fd news, base::make_event_fd());
  return std::unique_ptr<SessionChannel>(
      std::make_unique<SocketChannel>(std::move(stream), std::move(wake), std::move(news)));
}

Result<std::unique_ptr<SessionChannel>> connect_session(const Address& hub, milliseconds timeout,
                                                        const transport::TlsContext* tls) {
  const base::Instant deadline = base::now() + timeout;
  PHUB_TRY_ASSIGN(base::Fd socket, hub.is_local()
                                       ? connect_unix(hub.socket_path, deadline)
                                       : transport::connect_tcp(hub.host_port, deadline));
  if (tls == nullptr) return make_session(transport::ByteStream(std::move(socket)));
  PHUB_TRY_ASSIGN(transport::ByteStream stream, tls->wrap(std::move(socket)));
  PHUB_TRY(shake_hands(stream, deadline));
  return make_session(std::move(stream));
}

}  // namespace phub::exchange
