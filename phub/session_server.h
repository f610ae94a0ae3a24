// Sessions over Unix sockets, TCP and TLS: accepts workers, moves frames, notices death. One
// thread.
//
// Peers on this machine are checked by their credentials: the hub's own user and root are let in,
// others only where socket_access is for more than the owner; the kernel then asks the file. Over
// TCP the job's secret is all that is asked for, over TLS a certificate before it if the hub has a
// client CA. A connection that asks who is here (a probe) is told, without a secret and at a
// limited rate. One that sends broken bytes, does not prove itself within proof_timeout, or is
// silent for peer_timeout is closed; its neighbours notice nothing.
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
#include "transport/tls_context.h"

namespace phub::hub {

struct SessionServerOptions {
  std::vector<exchange::Address> listen;  // At least one. A Unix socket is removed at the end.
  std::chrono::milliseconds peer_timeout{5000};
  std::chrono::milliseconds proof_timeout{10'000};  // From the connection to the proof.
  uint32_t sessions_max = 4096;
  std::string name = "phubd";  // "phubd 0.1.0 on node7": what a probe is told.
  std::string advertise;       // The host that links name; empty: the one by which a worker came.
  std::shared_ptr<const transport::TlsContext> tls = {};  // For listen addresses with tls://.
  exchange::SocketAccess socket_access;                   // Of Unix sockets.
};

class SessionServer : public SessionPort {
 public:
  static Result<std::unique_ptr<SessionServer>> listen(const SessionServerOptions& options);
  ~SessionServer() override;

  // Where it listens, with the ports that were really bound.
  std::vector<exchange::Address> addresses() const;

  // Must be called before poll; `control` outlives the polling.
  void attach(Control* control) { control_ = control; }

  // Of `limits` what is its own. A session keeps the peer_timeout that its welcome told it.
  void set_limits(const HubLimits& limits);

  // Waits at most `timeout` for the network or control's tasks, then handles what came.
  void poll(std::chrono::milliseconds timeout);
  // Sends what is queued, for at most `patience`: the last words before the end.
  void flush(std::chrono::milliseconds patience);

  void send(SessionId session, exchange::Message message) override;
  void close(SessionId session) override;
  void trust(SessionId session) override;

 private:
  struct Connection {
    Connection(transport::ByteStream bytes, const exchange::Address& through)
        : stream(std::move(bytes), exchange::kFrameBytesBeforeAuth),
          is_local(through.is_local()),
          fabric(through.fabric) {}
    exchange::SessionStream stream;
    const bool is_local;       // Descriptors can travel.
    const std::string fabric;  // Of the address that it came to.
    base::Instant opened;
    base::Instant last_heard;
    base::Instant last_said;
    std::chrono::milliseconds peer_timeout{0};
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
  Result<transport::ByteStream> accept_stream(const Listener& listener);
  bool answer_probe(SessionId id, const exchange::Message& message);
  Status check_fabric(const std::string& fabric, const Connection& connection) const;
  bool can_use_fabric(SessionId id, const exchange::Message& message);
  void on_readable(SessionId id, base::Instant now);
  void write(SessionId id, Connection& connection);
  void check_times(base::Instant now);
  void drop(SessionId id, const Status& reason);

  SessionServerOptions options_;
  const bool is_advertised_loopback_;
  const std::string instance_;  // Of this hub's process.
  const std::string boot_id_;
  uint32_t probes_left_;  // Grows with time: a flood of probes is cut off, not served.
  std::vector<Listener> listeners_;
  base::Fd epoll_;
  Control* control_ = nullptr;
  bool watches_tasks_ = false;
  uint64_t next_id_ = 1;
  base::Instant next_check_;
  std::map<SessionId, Connection> connections_;
};

}  // namespace phub::hub
