// Sessions over Unix and TCP sockets: accepts workers, moves frames, notices death. One thread.
//
// Peers on this machine are checked by their credentials: the hub's own user and root are let in,
// others only where socket_access is for more than the owner; the kernel then asks the file. Over
// TCP the job's secret is all that is asked for. A connection that sends broken bytes, does not
// prove itself within proof_timeout, or is silent for peer_timeout is closed; its neighbours notice
// nothing.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "exchange/address.h"
#include "exchange/session_codec.h"
#include "exchange/session_stream.h"
#include "phub/control.h"

namespace phub::hub {

struct SessionServerOptions {
  std::vector<exchange::Address> listen;  // At least one. A Unix socket is removed at the end.
  std::chrono::milliseconds peer_timeout{5000};
  std::chrono::milliseconds proof_timeout{10'000};  // From the connection to the proof.
  uint32_t sessions_max = 4096;
  exchange::SocketAccess socket_access;  // Of Unix sockets.
};

class SessionServer : public SessionPort {
 public:
  static Result<std::unique_ptr<SessionServer>> listen(const SessionServerOptions& options);
  ~SessionServer() override;

  // Where it listens, with the ports that were really bound.
  std::vector<exchange::Address> addresses() const;

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
    Connection(base::Fd socket, bool is_on_this_machine)
        : stream(std::move(socket), exchange::kFrameBytesBeforeAuth),
          is_local(is_on_this_machine) {}
    exchange::SessionStream stream;
    const bool is_local;  // Descriptors can travel.
    base::Instant opened;
    base::Instant last_heard;
    base::Instant last_said;
    bool is_trusted = false;
    bool is_closing = false;  // Only what is queued still goes out.
    bool watches_writes = false;
  };

  struct Listener {
    base::Fd socket;
    exchange::Address address;  // With the port that was bound.
  };

  SessionServer(const SessionServerOptions& options, std::vector<Listener> listeners,
                base::Fd epoll);
  void accept_all(const Listener& listener, base::Instant now);
  Result<base::Fd> accept_one(const Listener& listener);
  bool can_use_fabric(SessionId id, const exchange::Message& message);
  void on_readable(SessionId id, base::Instant now);
  void write(SessionId id, Connection& connection);
  void check_times(base::Instant now);
  void drop(SessionId id, const Status& reason);

  const SessionServerOptions options_;
  std::vector<Listener> listeners_;
  base::Fd epoll_;
  Control* control_ = nullptr;
  bool watches_tasks_ = false;
  uint64_t next_id_ = 1;
  base::Instant next_check_;
  std::map<SessionId, Connection> connections_;
};

}  // namespace phub::hub
