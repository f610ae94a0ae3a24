// The hub over HTTP, for operators: status, metrics, and the verbs that change something.
//
//   GET  /healthz /metrics /v1/version /v1/status /v1/jobs /v1/jobs/NAME
//        /v1/jobs/NAME/map[?format=json] /v1/jobs/NAME/late
//   POST /v1/jobs {"name", "rank_count", "secret"?, "chunk_elements"?}      creates a job
//   POST /v1/drain /v1/undrain /v1/stop /v1/reload   DELETE /v1/jobs/NAME
//   GET /readyz /v1/log-level   PUT /v1/log-level {"level"}
//
// Runs on its own threads and never on a shard's. Errors are JSON: {"error": {"code", "message"}}.
// With a token, whatever changes something needs `Authorization: Bearer TOKEN`. A secret is sent
// only to the caller of POST /v1/jobs who left it out, once, in that reply.
#pragma once

#include <phub/status.h>

#include <memory>
#include <string>

#include "base/host_port.h"
#include "phub/admin.h"
#include "phub/program_admin.h"

namespace phub::hub {

constexpr size_t kHttpBodyBytesMax = 64 << 10;

struct HttpOptions {
  base::HostPort address;           // Port 0: any free one.
  std::string token;                // Empty: whoever reaches the address may change things.
  ProgramAdmin* program = nullptr;  // Outlives the server. Null: nothing of it can be asked.
};

class HttpServer {
 public:
  // `admin` must outlive the server. Returns when requests are answered.
  // permission_denied: an address beyond loopback without a token. unavailable: cannot bind.
  static Result<std::unique_ptr<HttpServer>> start(const HttpOptions& options, Admin& admin);
  ~HttpServer();  // Finishes the requests in progress; takes at most their timeouts.

  void set_token(const std::string& token);  // For requests from now on. Any thread.

  const base::HostPort& address() const;  // With the port that was really bound.

 private:
  struct State;
  explicit HttpServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace phub::hub
