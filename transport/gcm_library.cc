#include "transport/gcm_library.h"

#include <dlfcn.h>
#include <openssl/crypto.h>

#include <cstdlib>

#include "base/check.h"

#ifdef PHUB_HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

namespace phub::transport {

#ifdef PHUB_HAVE_IPSEC_MB

namespace {

// What is used of the library for one length of key.
struct Functions {
  aes_gcm_pre_t expand;
  aes_gcm_init_t init;
  aes_gcm_enc_dec_update_t encrypt;
  aes_gcm_enc_dec_update_t decrypt;
  aes_gcm_enc_dec_finalize_t end_encrypt;
  aes_gcm_enc_dec_finalize_t end_decrypt;
};

// Never unloaded: connections may end after everything else. Null: not here, or not worth it.
const IMB_MGR* load_manager() {
  void* const library = ::dlopen("libIPSec_MB.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  const auto allocate = reinterpret_cast<decltype(&alloc_mb_mgr)>(::dlsym(library, "alloc_mb_mgr"));
  const auto init =
      reinterpret_cast<decltype(&init_mb_mgr_auto)>(::dlsym(library, "init_mb_mgr_auto"));
  const auto release = reinterpret_cast<decltype(&free_mb_mgr)>(::dlsym(library, "free_mb_mgr"));
  if (allocate == nullptr || init == nullptr || release == nullptr) return nullptr;
  IMB_MGR* const manager = allocate(0);
  if (manager == nullptr) return nullptr;
  IMB_ARCH architecture = IMB_ARCH_NONE;
  init(manager, &architecture);
  constexpr uint64_t kNeeded = IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ;
  if (architecture == IMB_ARCH_AVX512 && (manager->features & kNeeded) == kNeeded) return manager;
  release(manager);
  return nullptr;
}

const IMB_MGR* manager() {
  static const IMB_MGR* const made = load_manager();
  return made;
}

Functions functions_for(size_t key_bytes) {
  const IMB_MGR& m = *manager();
  if (key_bytes == IMB_GCM_128_KEY_LEN) {
    return {m.gcm128_pre,        m.gcm128_init,         m.gcm128_enc_update,
            m.gcm128_dec_update, m.gcm128_enc_finalize, m.gcm128_dec_finalize};
  }
  return {m.gcm256_pre,        m.gcm256_init,         m.gcm256_enc_update,
          m.gcm256_dec_update, m.gcm256_enc_finalize, m.gcm256_dec_finalize};
}

}  // namespace

// Comes and goes with handshakes and changes of keys, like the rest of what OpenSSL allocates.
struct GcmCipher::State {
  static void* operator new(size_t bytes) {
    void* const memory = std::aligned_alloc(alignof(State), bytes);
    PHUB_CHECK(memory != nullptr);
    return memory;
  }
  static void operator delete(void* memory) { std::free(memory); }

  Functions call;
  gcm_key_data key;
  gcm_context_data message;
};

bool GcmCipher::is_available() { return manager() != nullptr; }

GcmCipher::GcmCipher(size_t key_bytes) : key_bytes_(key_bytes), state_(new State()) {
  PHUB_CHECK(key_bytes == IMB_GCM_128_KEY_LEN || key_bytes == IMB_GCM_256_KEY_LEN);
  state_->call = functions_for(key_bytes);
}

GcmCipher::~GcmCipher() { OPENSSL_cleanse(state_.get(), sizeof(State)); }

void GcmCipher::set_key(const uint8_t* key) { state_->call.expand(key, &state_->key); }

void GcmCipher::begin(const uint8_t* nonce, std::span<const uint8_t> associated) {
  state_->call.init(&state_->key, &state_->message, nonce, associated.data(), associated.size());
}

void GcmCipher::encrypt(uint8_t* to, const uint8_t* from, size_t bytes) {
  state_->call.encrypt(&state_->key, &state_->message, to, from, bytes);
}

void GcmCipher::decrypt(uint8_t* to, const uint8_t* from, size_t bytes) {
  state_->call.decrypt(&state_->key, &state_->message, to, from, bytes);
}

void GcmCipher::end_encrypt(uint8_t* tag) {
  state_->call.end_encrypt(&state_->key, &state_->message, tag, kTagBytes);
}

void GcmCipher::end_decrypt(uint8_t* tag) {
  state_->call.end_decrypt(&state_->key, &state_->message, tag, kTagBytes);
}

#else  // Not built for this processor.

struct GcmCipher::State {};

bool GcmCipher::is_available() { return false; }
GcmCipher::GcmCipher(size_t key_bytes) : key_bytes_(key_bytes) { PHUB_CHECK(is_available()); }
GcmCipher::~GcmCipher() = default;
void GcmCipher::set_key(const uint8_t*) {}
void GcmCipher::begin(const uint8_t*, std::span<const uint8_t>) {}
void GcmCipher::encrypt(uint8_t*, const uint8_t*, size_t) {}
void GcmCipher::decrypt(uint8_t*, const uint8_t*, size_t) {}
void GcmCipher::end_encrypt(uint8_t*) {}
void GcmCipher::end_decrypt(uint8_t*) {}

#endif

}  // namespace phub::transport
