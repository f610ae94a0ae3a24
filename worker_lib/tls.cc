#include "worker_lib/tls.h"

namespace phub::client {

Result<std::shared_ptr<const transport::TlsContext>> make_tls(const WorkerOptions& options,
                                                              const exchange::Address& hub) {
  using Context = std::shared_ptr<const transport::TlsContext>;
  if (hub.is_encrypted()) {
    return transport::TlsContext::for_worker(
        {.ca = options.tls_ca, .certificate = options.tls_cert, .key = options.tls_key},
        hub.host_port.host);
  }
  // Over shared memory nothing leaves the machine: the same settings may serve all ranks of a job.
  const bool has_files =
      !options.tls_ca.empty() || !options.tls_cert.empty() || !options.tls_key.empty();
  if (hub.is_local() || !has_files) return Context();
  return Status(Code::invalid_argument,
                "hub " + to_text(hub) + " is not encrypted, but tls_ca, tls_cert or tls_key is " +
                    "set; use tls://, or unset them (PHUB_TLS_CA, PHUB_TLS_CERT, PHUB_TLS_KEY)");
}

}  // namespace phub::client
