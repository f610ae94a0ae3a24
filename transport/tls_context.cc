#include "transport/tls_context.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/check.h"
#include "base/try.h"
#include "transport/gcm_provider.h"
#include "transport/tls_text.h"

namespace phub::transport {
namespace {

constexpr size_t kReadAheadBytes = 34'000;

using ContextPointer = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

Status refuse(Code code, const char* option, const std::string& path, const std::string& why) {
  ERR_clear_error();
  return Status(code, std::string(option) + " = " + path + ": " + why);
}

// OpenSSL says little about files; this says it first.
Status check_file(const char* option, const std::string& path, bool is_secret) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) {
    const Code code = errno == ENOENT ? Code::not_found : Code::permission_denied;
    return refuse(code, option, path, base::errno_text());
  }
  if (!S_ISREG(facts.st_mode)) {
    return refuse(Code::invalid_argument, option, path, "not a regular file");
  }
  if (::access(path.c_str(), R_OK) != 0) {
    return refuse(Code::permission_denied, option, path, base::errno_text());
  }
  if (is_secret && (facts.st_mode & (S_IROTH | S_IWOTH)) != 0) {
    return refuse(Code::permission_denied, option, path,
                  "every user can read it; chmod 600 " + path);
  }
  return {};
}

// Nobody is there to type a passphrase.
int no_passphrase(char*, int, int, void*) { return 0; }

Status load_certificate(SSL_CTX* context, const TlsOptions& options) {
  PHUB_TRY(check_file("tls_cert", options.certificate, false));
  PHUB_TRY(check_file("tls_key", options.key, true));
  if (SSL_CTX_use_certificate_chain_file(context, options.certificate.c_str()) != 1) {
    return refuse(Code::invalid_argument, "tls_cert", options.certificate,
                  "no certificate in PEM format: " + openssl_error_text());
  }
  const X509* const certificate = SSL_CTX_get0_certificate(context);
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
    return refuse(Code::invalid_argument, "tls_cert", options.certificate,
                  "it has expired on " + end_text(certificate) + "; make a new one");
  }
  if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
    return refuse(
        Code::invalid_argument, "tls_cert", options.certificate,
        "it is valid from " + begin_text(certificate) + " on; is this machine's clock right?");
  }
  SSL_CTX_set_default_passwd_cb(context, &no_passphrase);
  if (SSL_CTX_use_PrivateKey_file(context, options.key.c_str(), SSL_FILETYPE_PEM) == 1) return {};
  const int reason = ERR_GET_REASON(ERR_peek_last_error());
  if (reason == X509_R_KEY_VALUES_MISMATCH || reason == X509_R_KEY_TYPE_MISMATCH) {
    return refuse(Code::invalid_argument, "tls_key", options.key,
                  "it is not the key of the certificate in " + options.certificate);
  }
  return refuse(Code::invalid_argument, "tls_key", options.key,
                "no private key in PEM format without a passphrase: " + openssl_error_text());
}

Status load_ca(SSL_CTX* context, const char* option, const std::string& path) {
  PHUB_TRY(check_file(option, path, false));
  if (SSL_CTX_load_verify_file(context, path.c_str()) == 1) return {};
  return refuse(Code::invalid_argument, option, path,
                "no certificates in PEM format: " + openssl_error_text());
}

Result<ContextPointer> make_context(const SSL_METHOD* method) {
  const TlsCrypto crypto = tls_crypto();
  ContextPointer context(SSL_CTX_new_ex(crypto.context, crypto.preference, method), &SSL_CTX_free);
  if (context == nullptr) return Status(Code::resource_exhausted, "TLS: " + openssl_error_text());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  // The first that both have. 128 bits are enough, and a quarter faster than 256.
  SSL_CTX_set_ciphersuites(context.get(),
                           "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                           "TLS_CHACHA20_POLY1305_SHA256");
  SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                         SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Two records in one system call. OpenSSL moves what it has read ahead to the front for every
  // record: with many, that costs more than the calls.
  SSL_CTX_set_read_ahead(context.get(), 1);
  SSL_CTX_set_default_read_buffer_len(context.get(), kReadAheadBytes);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

bool is_ip(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> address;
  return ::inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

// Makes the handshake fail unless the peer's certificate names the host.
bool expect_host(SSL* ssl, std::string host) {
  host = host.substr(0, host.find('%'));  // fe80::1%eth0: the interface is nobody's name.
  X509_VERIFY_PARAM* const wanted = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(
      wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  if (is_ip(host)) return X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str()) == 1;
  return X509_VERIFY_PARAM_set1_host(wanted, host.c_str(), host.size()) == 1 &&
         SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
}

}  // namespace

TlsContext::TlsContext(ssl_ctx_st* context, const TlsOptions& options, std::string host)
    : context_(context), options_(options), host_(std::move(host)) {}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

Result<std::shared_ptr<const TlsContext>> TlsContext::for_hub(const TlsOptions& options) {
  PHUB_TRY_ASSIGN(ContextPointer context, make_context(TLS_server_method()));
  PHUB_TRY(load_certificate(context.get(), options));
  if (!options.ca.empty()) {
    PHUB_TRY(load_ca(context.get(), "tls_client_ca", options.ca));
    SSL_CTX_set_client_CA_list(context.get(), SSL_load_client_CA_file(options.ca.c_str()));
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       &TlsSession::verify);
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(context.release(), options, ""));
}

Result<std::shared_ptr<const TlsContext>> TlsContext::for_worker(const TlsOptions& options,
                                                                 const std::string& host) {
  PHUB_CHECK(!host.empty());
  PHUB_TRY_ASSIGN(ContextPointer context, make_context(TLS_client_method()));
  if (options.certificate.empty() != options.key.empty()) {
    return Status(Code::invalid_argument,
                  "only one of tls_cert and tls_key is set; set both or neither");
  }
  if (!options.certificate.empty()) PHUB_TRY(load_certificate(context.get(), options));
  if (!options.ca.empty()) {
    PHUB_TRY(load_ca(context.get(), "tls_ca", options.ca));
  } else if (SSL_CTX_set_default_verify_paths(context.get()) != 1) {
    return Status(Code::not_found, "TLS: this machine has no trust store; set tls_ca");
  }
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, &TlsSession::verify);
  return std::shared_ptr<const TlsContext>(new TlsContext(context.release(), options, host));
}

Result<ByteStream> TlsContext::wrap(base::Fd socket) const {
  const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context_), &SSL_free);
  bool is_good = ssl != nullptr;
  if (is_good && host_.empty()) SSL_set_accept_state(ssl.get());
  if (is_good && !host_.empty()) {
    SSL_set_connect_state(ssl.get());
    is_good = expect_host(ssl.get(), host_);
  }
  if (!is_good) return Status(Code::resource_exhausted, "TLS: " + openssl_error_text());
  SSL_up_ref(ssl.get());
  const int fd = socket.get();
  return ByteStream(std::move(socket),
                    std::make_unique<TlsSession>(ssl.get(), fd, options_.records_per_key));
}

}  // namespace phub::transport
