// OpenSSL's library context for TLS connections: OpenSSL's own algorithms, and AES-GCM of
// gcm_library where that is available, as an OpenSSL provider. TLS, its records, keys and alerts
// stay OpenSSL's; only the cipher below them is another.
//
// Thread-safety: any thread.
#pragma once

struct ossl_lib_ctx_st;  // OpenSSL's.

namespace phub::transport {

struct TlsCrypto {
  ossl_lib_ctx_st* context = nullptr;  // Lives as long as the process. Null: OpenSSL's default.
  const char* preference = nullptr;    // Property query for fetches.
};

// The best for this machine, made at the first call.
TlsCrypto tls_crypto();

}  // namespace phub::transport
