// Certificates for tests, made on the spot in a folder of their own, which goes with the object.
#pragma once

#include <chrono>
#include <string>

struct evp_pkey_st;  // OpenSSL's.
struct x509_st;

namespace phub::testing_support {

struct CertificateSpec {
  std::string file;                    // FILE.pem and FILE.key in the folder.
  std::string names = "";              // As openssl.cnf writes them: "DNS:localhost,IP:127.0.0.1".
  std::chrono::seconds begins{-3600};  // From now.
  std::chrono::seconds ends{3600};
};

class Certificates {
 public:
  // Makes a CA of that name: ca.pem.
  explicit Certificates(const std::string& ca_name = "ca");
  ~Certificates();
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  // A certificate that the CA signs, and its key.
  void make(const CertificateSpec& spec);
  std::string path(const std::string& file) const { return folder_ + "/" + file; }

 private:
  void write(const std::string& file, evp_pkey_st* key, x509_st* certificate) const;
  std::string folder_;
  evp_pkey_st* ca_key_ = nullptr;
  x509_st* ca_ = nullptr;
};

}  // namespace phub::testing_support
