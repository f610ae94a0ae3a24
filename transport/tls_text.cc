#include "transport/tls_text.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>

namespace phub::transport {
namespace {

std::string time_text(const ASN1_TIME* time) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), &BIO_free);
  if (out == nullptr || ASN1_TIME_print(out.get(), time) != 1) return "an unreadable time";
  char* text = nullptr;
  const long bytes = BIO_get_mem_data(out.get(), &text);
  return std::string(text, static_cast<size_t>(bytes));
}

std::string issuer_text(const X509* certificate) {
  std::array<char, 256> text{};
  X509_NAME_oneline(X509_get_issuer_name(certificate), text.data(), text.size());
  return text.data();
}

std::string ip_text(const ASN1_OCTET_STRING* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
  ::inet_ntop(family, ASN1_STRING_get0_data(address), text.data(), text.size());
  return std::string("IP ") + text.data();
}

// What a refused peer sends back as an alert, or what its bytes look like.
std::string reason_text(int reason, bool is_hub) {
  const std::string peer = is_hub ? "the worker" : "the hub";
  switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
      return is_hub ? "the peer does not speak TLS; is its hub's address tcp:// where tls:// "
                      "is wanted?"
                    : "the hub does not speak TLS there; does it listen at tcp://, not tls://?";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return peer + " does not speak TLS 1.3";
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return "the worker shows no certificate, but tls_client_ca asks for one";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return "the hub wants a certificate of the worker; set tls_cert and tls_key (PHUB_TLS_CERT, "
             "PHUB_TLS_KEY)";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:  // A CA of the same name and another key.
      return peer + " does not know who signed this side's certificate; " +
             (is_hub ? "its tls_ca (PHUB_TLS_CA) must be the CA of tls_cert"
                     : "its tls_client_ca must be the CA of tls_cert (PHUB_TLS_CERT)");
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      return peer + " refuses this side's certificate: it has expired";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
      return peer + " refuses this side's certificate" +
             (is_hub ? "; its log says why" : "; the hub's log says why");
    default:
      return "";
  }
}

}  // namespace

std::string openssl_error_text() {
  const unsigned long error = ERR_get_error();
  ERR_clear_error();
  const char* const text = error == 0 ? nullptr : ERR_reason_error_string(error);
  return text == nullptr ? "an unknown error" : text;
}

std::string end_text(const X509* certificate) { return time_text(X509_get0_notAfter(certificate)); }
std::string begin_text(const X509* certificate) {
  return time_text(X509_get0_notBefore(certificate));
}

std::string names_text(const X509* certificate) {
  auto* const names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  std::string text;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
    if (!text.empty()) text += ", ";
    text += name->type == GEN_IPADD
                ? ip_text(name->d.iPAddress)
                : std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                              static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
  }
  GENERAL_NAMES_free(names);
  return text.empty() ? "nobody (it has no subjectAltName)" : text;
}

std::string refusal_text(X509_STORE_CTX* store, bool is_hub) {
  const int error = X509_STORE_CTX_get_error(store);
  const X509* const certificate = X509_STORE_CTX_get_current_cert(store);
  const std::string whose = is_hub ? "the worker's certificate" : "the hub's certificate";
  const std::string why = X509_verify_cert_error_string(error);
  if (certificate == nullptr) return whose + ": " + why;
  switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return whose + " is for another host: it names " + names_text(certificate) +
             "; connect to one of these, or give the hub a certificate that names it";
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return whose + " has expired on " + end_text(certificate) + "; make a new one";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return whose + " is valid from " + begin_text(certificate) +
             " on; is this machine's clock right?";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return whose + " is signed by \"" + issuer_text(certificate) + "\", whom this side does " +
             "not know; set " + (is_hub ? "tls_client_ca" : "tls_ca (PHUB_TLS_CA)") +
             " to that CA's file";
    default:
      return whose + ": " + why;
  }
}

std::string tls_failure_text(SSL* ssl, const std::string& refusal) {
  const unsigned long error = ERR_peek_error();
  const bool is_hub = SSL_is_server(ssl) == 1;
  const int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
  std::string text = reason_text(reason, is_hub);
  if (!refusal.empty()) text = refusal;  // However OpenSSL puts it.
  const std::string openssl_text = openssl_error_text();
  return "TLS: " + (text.empty() ? openssl_text : text);
}

}  // namespace phub::transport
