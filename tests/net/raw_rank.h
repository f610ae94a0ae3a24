// A rank that says what it likes: joins a job of its own by the rules, up to the step that a test
// wants, and then leaves sockets to be abused. Blocking, with deadlines.
#pragma once

#include <string>
#include <vector>

#include "base/host_port.h"
#include "exchange/session_stream.h"
#include "transport/tcp_bootstrap.h"

namespace phub::net {

class RawRank {
 public:
  // Connects and proves a secret: the hub trusts this session. `elements` of the job's one tensor.
  RawRank(const base::HostPort& hub, const std::string& job, uint64_t elements);

  bool is_trusted() const { return is_trusted_; }
  // Agrees on the tensor and connects the link to the hub's only shard. Its socket; not valid: the
  // hub said no.
  base::Fd open_link();
  exchange::SessionStream& session() { return session_; }

 private:
  template <typename Body>
  bool await(Body* body);

  const base::HostPort hub_;
  const uint64_t elements_;
  exchange::SessionStream session_;
  exchange::HubShape shape_;
  bool is_trusted_ = false;
};

// A frame's head on a link (transport/tcp_link.h).
std::string link_frame(uint32_t tag, uint32_t slot, uint32_t bytes);

}  // namespace phub::net
