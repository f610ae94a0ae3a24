#include "tests/transport/certificates.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/check.h"

namespace phub::testing_support {
namespace {

X509* make_certificate(EVP_PKEY* key, const CertificateSpec& spec) {
  X509* const made = X509_new();
  static long serial = 0;
  PHUB_CHECK(X509_set_version(made, X509_VERSION_3) == 1);
  ASN1_INTEGER_set(X509_get_serialNumber(made), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(made), spec.begins.count());
  X509_gmtime_adj(X509_getm_notAfter(made), spec.ends.count());
  const auto* const name = reinterpret_cast<const unsigned char*>(spec.file.c_str());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC, name, -1, -1, 0);
  PHUB_CHECK(X509_set_pubkey(made, key) == 1);
  return made;
}

void add_extension(X509* to, int kind, const std::string& value) {
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
  PHUB_CHECK(extension != nullptr && X509_add_ext(to, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

}  // namespace

Certificates::Certificates(const std::string& ca_name) {
  std::string name = (std::filesystem::temp_directory_path() / "phub-tls-XXXXXX").string();
  PHUB_CHECK(::mkdtemp(name.data()) != nullptr);
  folder_ = name;
  ca_key_ = EVP_EC_gen("P-256");
  ca_ = make_certificate(ca_key_, {.file = ca_name});
  X509_set_issuer_name(ca_, X509_get_subject_name(ca_));
  add_extension(ca_, NID_basic_constraints, "critical,CA:TRUE");
  PHUB_CHECK(X509_sign(ca_, ca_key_, EVP_sha256()) != 0);
  write("ca", ca_key_, ca_);
}

Certificates::~Certificates() {
  X509_free(ca_);
  EVP_PKEY_free(ca_key_);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void Certificates::make(const CertificateSpec& spec) {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const made = make_certificate(key, spec);
  X509_set_issuer_name(made, X509_get_subject_name(ca_));
  if (!spec.names.empty()) add_extension(made, NID_subject_alt_name, spec.names);
  PHUB_CHECK(X509_sign(made, ca_key_, EVP_sha256()) != 0);
  write(spec.file, key, made);
  X509_free(made);
  EVP_PKEY_free(key);
}

void Certificates::write(const std::string& file, EVP_PKEY* key, X509* certificate) const {
  FILE* const pem = ::fopen(path(file + ".pem").c_str(), "w");
  PHUB_CHECK(pem != nullptr && PEM_write_X509(pem, certificate) == 1);
  ::fclose(pem);
  FILE* const secret = ::fopen(path(file + ".key").c_str(), "w");
  PHUB_CHECK(secret != nullptr && ::chmod(path(file + ".key").c_str(), 0600) == 0);
  PHUB_CHECK(PEM_write_PrivateKey(secret, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  ::fclose(secret);
}

}  // namespace phub::testing_support
