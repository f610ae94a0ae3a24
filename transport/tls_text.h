// What OpenSSL has against a connection, as a sentence for the operator.
#pragma once

#include <string>

struct ssl_st;  // OpenSSL's.
struct x509_st;
struct x509_store_ctx_st;

namespace phub::transport {

// Why a TLS call failed: takes OpenSSL's queue of errors. refusal: why the peer's certificate was
// refused, if it was.
std::string tls_failure_text(ssl_st* ssl, const std::string& refusal);

// Why the certificate at hand in `store` is refused: whose, and what to do.
std::string refusal_text(x509_store_ctx_st* store, bool is_hub);

// "hub.rack8, IP 10.0.0.7": what a certificate is good for; "nobody" without such names.
std::string names_text(const x509_st* certificate);
// "Nov 25 13:17:11 2027 GMT": the end, and the beginning of a certificate's time.
std::string end_text(const x509_st* certificate);
std::string begin_text(const x509_st* certificate);

// The first of OpenSSL's errors, without its numbers; empties the queue.
std::string openssl_error_text();

}  // namespace phub::transport
