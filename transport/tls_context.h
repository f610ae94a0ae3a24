// Who this side is and whom it believes, for every TLS connection that it makes: certificates and
// keys, read from files once.
//
// TLS 1.3 only. A worker believes a hub whose certificate is signed by its CA and names the host of
// the hub's address; a hub with a client CA lets in only workers whose certificates that CA signed.
// No session tickets, no resumption, no early data: every connection proves itself anew.
//
// Kernel TLS is not used: OpenSSL 3.0 leaves the receiving half of TLS 1.3 to user space and cannot
// change the keys of the sending half, which AES-GCM asks for every 2^24.5 records.
//
// Thread-safety: any thread may wrap(); the streams belong to whoever polls them.
#pragma once

#include <phub/status.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/fd.h"
#include "transport/byte_stream.h"

struct ssl_ctx_st;  // OpenSSL's.

namespace phub::transport {

// Paths of PEM files; empty: none.
struct TlsOptions {
  std::string ca = {};           // Hubs: who signs workers' certificates; none: workers need none.
                                 // Workers: who signs the hub's; none: the machine's trust store.
  std::string certificate = {};  // With the chain behind it. Hubs must have one.
  std::string key = {};          // Of that certificate; not readable by everybody.
  // A sending key protects so many records; then a KeyUpdate changes it (RFC 8446, 5.5).
  uint64_t records_per_key = uint64_t{1} << 23;
};

class TlsContext {
 public:
  // not_found: a file is missing.  permission_denied: a file cannot be read, or the key can be read
  // by everybody.  invalid_argument: a file is not what it should be, the key is of another
  // certificate or locked by a passphrase, the certificate is out of date. Messages name the option
  // and the file.
  static Result<std::shared_ptr<const TlsContext>> for_hub(const TlsOptions& options);
  // host: of the hub's address, a name or an IP address: what its certificate must name.
  static Result<std::shared_ptr<const TlsContext>> for_worker(const TlsOptions& options,
                                                              const std::string& host);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // TLS over a socket that is connected, or about to be; nonblocking. The handshake happens as the
  // stream is read and written. resource_exhausted: OpenSSL has no memory.
  Result<ByteStream> wrap(base::Fd socket) const;

 private:
  TlsContext(ssl_ctx_st* context, const TlsOptions& options, std::string host);
  ssl_ctx_st* const context_;
  const TlsOptions options_;
  const std::string host_;  // Empty: a hub's.
};

}  // namespace phub::transport
