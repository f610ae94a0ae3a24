// AES-GCM of Intel's multi-buffer library (libipsec-mb), found at run time.
//
// Why: OpenSSL before 3.1 encrypts with AES instructions of 128 bits. On processors with VAES this
// library is 2.4 times as fast (measured: 10.2 against 4.2 GB/s a core, records of 16 KiB), and
// records are what TLS spends its time on.
//
// Thread-safety: constant after the first call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace phub::transport {

// One key, and one message at a time. Associated data is given at begin().
class GcmCipher {
 public:
  static constexpr size_t kNonceBytes = 12;
  static constexpr size_t kTagBytes = 16;

  // key_bytes: 16 or 32. REQUIRES: is_available().
  explicit GcmCipher(size_t key_bytes);
  ~GcmCipher();  // Wipes the key.
  GcmCipher(const GcmCipher&) = delete;
  GcmCipher& operator=(const GcmCipher&) = delete;

  // The library is installed and the processor has what makes it worth it (VAES).
  static bool is_available();

  size_t key_bytes() const { return key_bytes_; }
  void set_key(const uint8_t* key);
  void begin(const uint8_t* nonce, std::span<const uint8_t> associated);
  // In place, or into memory that does not overlap.
  void encrypt(uint8_t* to, const uint8_t* from, size_t bytes);
  void decrypt(uint8_t* to, const uint8_t* from, size_t bytes);
  void end_encrypt(uint8_t* tag);  // kTagBytes.
  void end_decrypt(uint8_t* tag);  // What the tag should have been: the caller compares.

 private:
  struct State;
  const size_t key_bytes_;
  const std::unique_ptr<State> state_;
};

}  // namespace phub::transport
