// Sessions over a Unix socket: accepts workers, moves frames, notices death. One thread.
//
// Peers are checked by their credentials: the hub's own user and root are let in, others only when
// told so. A connection that sends broken bytes, does not prove itself within proof_timeout, or is
// silent for peer_timeout is closed; its neighbours notice nothing.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "exchange/session_codec.h"
#include "exchange/session_stream.h"
#include "phub/control.h"

namespace phub::hub {

struct SessionServerOptions {
  std::string path;  // Of the socket; removed when the server goes.
  std::chrono::milliseconds peer_timeout{5000};
  std::chrono::milliseconds proof_timeout{10'000};  // From the connection to the proof.
  uint32_t sessions_max = 4096;
  bool allow_other_users = false;
};

class SessionServer : public SessionPort {
 public:
  static Result<std::unique_ptr<SessionServer>> listen(const SessionServerOptions& options);
  ~SessionServer() override;

  // Must be called before poll; `control` outlives the polling.
  void attach(Control* control) { control_ = control; }

  // Waits at most `timeout` for the network or control's tasks, then handles what came.
  void poll(std::chrono::milliseconds timeout);
  // Sends what is queued, for at most `patience`: the last words before the end.
  void flush(std::chrono::milliseconds patience);

  void send(SessionId session, exchange::Message message) override;
  void close(SessionId session) override;
  void trust(SessionId session) override;

 private:
  struct Connection {
    explicit Connection(base::Fd socket)
        : stream(std::move(socket), exchange::kFrameBytesBeforeAuth) {}
    exchange::SessionStream stream;
    base::Instant opened;
    base::Instant last_heard;
    base::Instant last_said;
    bool is_trusted = false;
    bool is_closing = false;  // Only what is queued still goes out.
    bool watches_writes = false;
  };

  SessionServer(const SessionServerOptions& options, base::Fd listener, base::Fd epoll);
  void accept_all(base::Instant now);
  void on_readable(SessionId id, base::Instant now);
  void write(SessionId id, Connection& connection);
  void check_times(base::Instant now);
  void drop(SessionId id, const Status& reason);

  const SessionServerOptions options_;
  base::Fd listener_;
  base::Fd epoll_;
  Control* control_ = nullptr;
  bool watches_tasks_ = false;
  uint64_t next_id_ = 1;
  base::Instant next_check_;
  std::map<SessionId, Connection> connections_;
};

}  // namespace phub::hub
