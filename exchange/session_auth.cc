#include "exchange/session_auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <fstream>
#include <span>

#include "base/check.h"
#include "base/random.h"

namespace phub::exchange {
namespace {

constexpr size_t kNonceBytes = 32;

std::string to_hex(std::span<const unsigned char> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const unsigned char byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

// The length in front keeps ("ab", "c") apart from ("a", "bc").
void append_field(std::string* out, std::string_view field) {
  const auto length = static_cast<uint32_t>(field.size());
  for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<char>(length >> shift));
  out->append(field);
}

std::string digest_of(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int digest_bytes = 0;
  PHUB_CHECK(EVP_Digest(text.data(), text.size(), digest, &digest_bytes, EVP_sha256(), nullptr) ==
             1);
  return to_hex({digest, digest_bytes});
}

}  // namespace

std::string make_nonce() {
  unsigned char bytes[kNonceBytes];
  base::random_bytes(bytes);
  return to_hex(bytes);
}

std::string derive_key(std::string_view secret, std::string_view job) {
  std::string text;
  append_field(&text, "phub1 key");
  append_field(&text, job);
  append_field(&text, secret);
  return digest_of(text);
}

std::string read_boot_id() {
  std::string id;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), id);
  return id;
}

std::string prove_host(std::string_view nonce, std::string_view boot_id) {
  if (boot_id.empty()) return {};
  std::string text;
  append_field(&text, "phub1 host");
  append_field(&text, nonce);
  append_field(&text, boot_id);
  return digest_of(text);
}

std::string prove(std::string_view key, std::string_view hub_nonce, std::string_view worker_nonce,
                  std::string_view job, uint32_t rank) {
  std::string text;
  append_field(&text, "phub1");
  append_field(&text, hub_nonce);
  append_field(&text, worker_nonce);
  append_field(&text, job);
  append_field(&text, std::to_string(rank));

  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int digest_bytes = 0;
  const unsigned char* const made =
      HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest, &digest_bytes);
  PHUB_CHECK(made != nullptr);
  return to_hex({digest, digest_bytes});
}

bool is_equal_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace phub::exchange
