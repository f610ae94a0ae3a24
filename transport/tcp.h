// The tcp fabric: hub and workers on different machines, one connection for each link (a worker and
// a shard), or several where one does not fill the network.
//
// The acceptor listens on a port of its own; its offer says where, how many connections the link
// has, and the token that each must begin with: tcp_bootstrap.h. Whoever does not know one within
// ten seconds, TLS handshake included, is cut off. Frames: tcp_frame.h. Sockets belong to the
// thread that polls the fabric, in one edge-triggered epoll set. Payloads are received straight
// into their slots and sent from where they lie: no copies but the kernel's.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/host_port.h"
#include "base/memory.h"
#include "transport/fabric.h"
#include "transport/tcp_bootstrap.h"
#include "transport/tcp_link.h"
#include "transport/tcp_socket.h"
#include "transport/tls_context.h"

namespace phub::transport {

struct TcpOptions {
  std::optional<base::HostPort> listen = {};  // Acceptors; port 0: any free one.
  std::vector<std::string> also_listen = {};  // Acceptors: more hosts, at the same port.
  uint16_t port_last = 0;      // Acceptors; not 0: the first free port from listen's to here.
  std::string advertise = {};  // Acceptors: the host that workers connect to. Empty: the
                               // one by which they reached the hub.
  uint32_t streams = 1;        // Acceptors: connections of a link, at most kTcpStreamsMax.
  std::string hub_host = {};   // Connectors: that host.
  std::shared_ptr<const TlsContext> tls = {};  // Not null: the tls fabric, the same inside TLS.
};

class TcpFabric final : public Fabric {
 public:
  // unavailable: cannot listen. internal: the process is out of descriptors.
  static Result<std::unique_ptr<Fabric>> make(const TcpOptions& options);

  std::string_view name() const override { return tls_ != nullptr ? "tls" : "tcp"; }
  Traits traits() const override { return {.any_memory = true}; }

  Result<std::span<std::byte>> allocate(size_t bytes) override;
  Result<LinkId> open(const LinkOptions& options, Bootstrap* offer) override;
  Status accept(LinkId link, Bootstrap answer) override;
  // Begins to connect; a connection that cannot be made loses the link. not_found: no such host.
  Result<LinkId> connect(const LinkOptions& options, Bootstrap offer, Bootstrap* answer) override;
  void close(LinkId link) override;
  std::string lost_reason(LinkId link) const override;
  std::byte* window(LinkId, uint32_t) override { return nullptr; }

  size_t put(std::span<const Put> puts) override;
  size_t poll(Instant now, std::span<Event> events) override;
  void release(const Event&) override {}  // A slot is its owner's until the peer's next put to it.

  int fd() const override { return epoll_.get(); }
  bool arm() override;
  void disarm() override {}
  Instant next_deadline() const override;

 private:
  // Connectors: a connection that is being made, and where to try next.
  struct Attempt {
    ByteStream stream;
    size_t next_address = 0;
  };
  // A link and the connections that it waits for.
  struct Entry {
    std::unique_ptr<TcpLink> link;
    TcpToken token = {};
    bool is_acceptor = false;
    bool is_live = false;  // Acceptors: after accept(). Nothing comes out of poll() before.
    bool is_due = false;   // Has work for the next poll, or may have.
    Instant deadline;      // 0: the clock has not been seen yet. For links that are not up.
    std::vector<SocketAddress> addresses;  // Connectors.
    std::vector<Attempt> attempts;         // By the connection's number. Acceptors: none.
  };
  // A connection that has not said yet which link it is for.
  struct Guest {
    ByteStream stream;
    Instant deadline;  // 0: the clock has not been seen yet.
    size_t bytes = 0;
    TcpHello hello = {};
  };

  explicit TcpFabric(base::Fd epoll) : epoll_(std::move(epoll)) {}
  Entry& at(LinkId link) const;
  LinkId keep(std::unique_ptr<Entry> entry);
  Status watch(int fd, uint64_t key);
  void attach(Entry& entry, uint32_t number, ByteStream stream);
  void take_edges();
  void on_edge(uint64_t key, uint32_t what);
  void welcome_guests();
  void hear_guest(int fd);
  void hand_over(Guest& guest);
  Result<ByteStream> make_stream(base::Fd socket) const;
  void expire_guests(Instant now);
  void try_next_address(Entry& entry, uint32_t number, std::string failure);
  void on_attempt(Entry& entry, uint32_t number);
  void check_waiting(Instant now);

  base::Fd epoll_;
  std::vector<base::Fd> listeners_;  // All at one port.
  std::string advertised_host_;
  uint16_t port_ = 0;
  std::string hub_host_;
  uint8_t streams_ = 1;
  std::shared_ptr<const TlsContext> tls_;  // Null: plain.
  std::vector<base::Mapping> memory_;
  std::vector<std::unique_ptr<Entry>> links_;  // By LinkId; null if free.
  std::vector<Guest> guests_;
  size_t waiting_count_ = 0;  // Links that are not up.
  size_t cursor_ = 0;
};

}  // namespace phub::transport
