#include "transport/gcm_provider.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include <array>
#include <cstring>
#include <new>
#include <span>
#include <string_view>

#include "transport/gcm_library.h"

namespace phub::transport {
namespace {

constexpr size_t kAssociatedBytesMax = 256;  // TLS 1.3 has 5: a record's header.

using Function = void (*)();

template <typename Pointer>
constexpr Function as_function(Pointer function) {
  return reinterpret_cast<Function>(function);
}

// A message in the order in which OpenSSL gives it: key, nonce, associated data, text, tag.
struct Context {
  explicit Context(size_t key_bytes) : cipher(key_bytes) {}
  ~Context() { OPENSSL_cleanse(tag.data(), tag.size()); }
  static void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
    return OPENSSL_malloc(bytes);
  }
  static void operator delete(void* memory) { OPENSSL_free(memory); }
  static void operator delete(void* memory, const std::nothrow_t&) { OPENSSL_free(memory); }

  GcmCipher cipher;
  bool is_encrypting = false;
  bool has_key = false;
  bool has_nonce = false;
  bool has_tag = false;
  bool has_begun = false;  // The text, after which no associated data may follow.
  std::array<uint8_t, GcmCipher::kNonceBytes> nonce{};
  std::array<uint8_t, GcmCipher::kTagBytes> tag{};
  std::array<uint8_t, kAssociatedBytesMax> associated{};
  size_t associated_bytes = 0;
};

template <size_t key_bytes>
void* new_context(void*) {
  return new (std::nothrow) Context(key_bytes);
}

void free_context(void* context) { delete static_cast<Context*>(context); }

int set_parameters(void* opaque, const OSSL_PARAM parameters[]) {
  auto& context = *static_cast<Context*>(opaque);
  if (parameters == nullptr) return 1;
  if (const OSSL_PARAM* tag = OSSL_PARAM_locate_const(parameters, OSSL_CIPHER_PARAM_AEAD_TAG)) {
    if (tag->data_type != OSSL_PARAM_OCTET_STRING || tag->data_size != context.tag.size()) return 0;
    if (tag->data != nullptr) {
      if (context.is_encrypting) return 0;
      std::memcpy(context.tag.data(), tag->data, context.tag.size());
      context.has_tag = true;
    }
  }
  size_t bytes = 0;
  if (const OSSL_PARAM* p = OSSL_PARAM_locate_const(parameters, OSSL_CIPHER_PARAM_AEAD_IVLEN)) {
    if (OSSL_PARAM_get_size_t(p, &bytes) != 1 || bytes != GcmCipher::kNonceBytes) return 0;
  }
  if (const OSSL_PARAM* p = OSSL_PARAM_locate_const(parameters, OSSL_CIPHER_PARAM_KEYLEN)) {
    if (OSSL_PARAM_get_size_t(p, &bytes) != 1 || bytes != context.cipher.key_bytes()) return 0;
  }
  return 1;
}

int init(Context& context, bool is_encrypting, const uint8_t* key, size_t key_bytes,
         const uint8_t* nonce, size_t nonce_bytes, const OSSL_PARAM parameters[]) {
  context.is_encrypting = is_encrypting;
  context.has_begun = false;
  context.associated_bytes = 0;
  if (key != nullptr) {
    if (key_bytes != context.cipher.key_bytes()) return 0;
    context.cipher.set_key(key);
    context.has_key = true;
  }
  if (nonce != nullptr) {
    if (nonce_bytes != context.nonce.size()) return 0;
    std::memcpy(context.nonce.data(), nonce, nonce_bytes);
    context.has_nonce = true;
    context.has_tag = false;
  }
  return set_parameters(&context, parameters);
}

int init_encrypt(void* context, const unsigned char* key, size_t key_bytes,
                 const unsigned char* nonce, size_t nonce_bytes, const OSSL_PARAM parameters[]) {
  return init(*static_cast<Context*>(context), true, key, key_bytes, nonce, nonce_bytes,
              parameters);
}

int init_decrypt(void* context, const unsigned char* key, size_t key_bytes,
                 const unsigned char* nonce, size_t nonce_bytes, const OSSL_PARAM parameters[]) {
  return init(*static_cast<Context*>(context), false, key, key_bytes, nonce, nonce_bytes,
              parameters);
}

bool begin_text(Context& context) {
  if (context.has_begun) return true;
  if (!context.has_key || !context.has_nonce) return false;
  context.cipher.begin(context.nonce.data(),
                       std::span(context.associated).first(context.associated_bytes));
  return context.has_begun = true;
}

// to null: associated data.
int update(void* opaque, unsigned char* to, size_t* written, size_t room, const unsigned char* from,
           size_t bytes) {
  auto& context = *static_cast<Context*>(opaque);
  *written = 0;
  if (bytes == 0) return 1;
  if (to == nullptr) {
    if (context.has_begun || bytes > kAssociatedBytesMax - context.associated_bytes) return 0;
    std::memcpy(context.associated.data() + context.associated_bytes, from, bytes);
    context.associated_bytes += bytes;
    *written = bytes;
    return 1;
  }
  if (room < bytes || !begin_text(context)) return 0;
  if (context.is_encrypting) {
    context.cipher.encrypt(to, from, bytes);
  } else {
    context.cipher.decrypt(to, from, bytes);
  }
  *written = bytes;
  return 1;
}

int final(void* opaque, unsigned char*, size_t* written, size_t) {
  auto& context = *static_cast<Context*>(opaque);
  *written = 0;
  if (!begin_text(context)) return 0;
  context.has_begun = context.has_nonce = false;  // A nonce serves once.
  if (context.is_encrypting) {
    context.cipher.end_encrypt(context.tag.data());
    return context.has_tag = true;
  }
  std::array<uint8_t, GcmCipher::kTagBytes> tag{};
  context.cipher.end_decrypt(tag.data());
  const bool is_authentic =
      context.has_tag && CRYPTO_memcmp(tag.data(), context.tag.data(), tag.size()) == 0;
  OPENSSL_cleanse(tag.data(), tag.size());
  return is_authentic ? 1 : 0;
}

int get_context_parameters(void* opaque, OSSL_PARAM parameters[]) {
  const auto& context = *static_cast<const Context*>(opaque);
  for (OSSL_PARAM* p = parameters; p != nullptr && p->key != nullptr; ++p) {
    const std::string_view key = p->key;
    int is_good = 1;
    if (key == OSSL_CIPHER_PARAM_KEYLEN) {
      is_good = OSSL_PARAM_set_size_t(p, context.cipher.key_bytes());
    } else if (key == OSSL_CIPHER_PARAM_IVLEN) {
      is_good = OSSL_PARAM_set_size_t(p, GcmCipher::kNonceBytes);
    } else if (key == OSSL_CIPHER_PARAM_AEAD_TAGLEN) {
      is_good = OSSL_PARAM_set_size_t(p, GcmCipher::kTagBytes);
    } else if (key == OSSL_CIPHER_PARAM_AEAD_TAG) {
      is_good = context.is_encrypting && context.has_tag && p->data_size <= context.tag.size() &&
                OSSL_PARAM_set_octet_string(p, context.tag.data(), p->data_size);
    }
    if (is_good != 1) return 0;
  }
  return 1;
}

template <size_t key_bytes>
int get_parameters(OSSL_PARAM parameters[]) {
  for (OSSL_PARAM* p = parameters; p != nullptr && p->key != nullptr; ++p) {
    const std::string_view key = p->key;
    int is_good = 1;
    if (key == OSSL_CIPHER_PARAM_MODE) is_good = OSSL_PARAM_set_uint(p, EVP_CIPH_GCM_MODE);
    if (key == OSSL_CIPHER_PARAM_KEYLEN) is_good = OSSL_PARAM_set_size_t(p, key_bytes);
    if (key == OSSL_CIPHER_PARAM_IVLEN) is_good = OSSL_PARAM_set_size_t(p, GcmCipher::kNonceBytes);
    if (key == OSSL_CIPHER_PARAM_BLOCK_SIZE) is_good = OSSL_PARAM_set_size_t(p, 1);
    if (key == OSSL_CIPHER_PARAM_AEAD || key == OSSL_CIPHER_PARAM_CUSTOM_IV) {
      is_good = OSSL_PARAM_set_int(p, 1);
    }
    if (is_good != 1) return 0;
  }
  return 1;
}

const OSSL_PARAM* gettable_parameters(void*) {
  static const std::array<OSSL_PARAM, 7> list = {
      {OSSL_PARAM_uint(OSSL_CIPHER_PARAM_MODE, nullptr),
       OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, nullptr),
       OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, nullptr),
       OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_BLOCK_SIZE, nullptr),
       OSSL_PARAM_int(OSSL_CIPHER_PARAM_AEAD, nullptr),
       OSSL_PARAM_int(OSSL_CIPHER_PARAM_CUSTOM_IV, nullptr), OSSL_PARAM_END}};
  return list.data();
}

const OSSL_PARAM* gettable_context_parameters(void*, void*) {
  static const std::array<OSSL_PARAM, 5> list = {
      {OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, nullptr),
       OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, nullptr),
       OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_TAGLEN, nullptr),
       OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, nullptr, 0), OSSL_PARAM_END}};
  return list.data();
}

const OSSL_PARAM* settable_context_parameters(void*, void*) {
  static const std::array<OSSL_PARAM, 4> list = {
      {OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, nullptr),
       OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_IVLEN, nullptr),
       OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, nullptr, 0), OSSL_PARAM_END}};
  return list.data();
}

template <size_t key_bytes>
const OSSL_DISPATCH* cipher_functions() {
  static const std::array<OSSL_DISPATCH, 13> list = {{
      {OSSL_FUNC_CIPHER_NEWCTX, as_function(&new_context<key_bytes>)},
      {OSSL_FUNC_CIPHER_FREECTX, as_function(&free_context)},
      {OSSL_FUNC_CIPHER_ENCRYPT_INIT, as_function(&init_encrypt)},
      {OSSL_FUNC_CIPHER_DECRYPT_INIT, as_function(&init_decrypt)},
      {OSSL_FUNC_CIPHER_UPDATE, as_function(&update)},
      {OSSL_FUNC_CIPHER_FINAL, as_function(&final)},
      {OSSL_FUNC_CIPHER_GET_PARAMS, as_function(&get_parameters<key_bytes>)},
      {OSSL_FUNC_CIPHER_GETTABLE_PARAMS, as_function(&gettable_parameters)},
      {OSSL_FUNC_CIPHER_GET_CTX_PARAMS, as_function(&get_context_parameters)},
      {OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS, as_function(&gettable_context_parameters)},
      {OSSL_FUNC_CIPHER_SET_CTX_PARAMS, as_function(&set_parameters)},
      {OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS, as_function(&settable_context_parameters)},
      {0, nullptr},
  }};
  return list.data();
}

const OSSL_ALGORITHM* query(void*, int operation, int* may_cache) {
  static const std::array<OSSL_ALGORITHM, 3> ciphers = {{
      {"AES-128-GCM:id-aes128-GCM:2.16.840.1.101.3.4.1.6", "provider=phub", cipher_functions<16>(),
       "AES-GCM of libipsec-mb"},
      {"AES-256-GCM:id-aes256-GCM:2.16.840.1.101.3.4.1.46", "provider=phub", cipher_functions<32>(),
       "AES-GCM of libipsec-mb"},
      {nullptr, nullptr, nullptr, nullptr},
  }};
  *may_cache = 1;
  return operation == OSSL_OP_CIPHER ? ciphers.data() : nullptr;
}

int init_provider(const OSSL_CORE_HANDLE*, const OSSL_DISPATCH*, const OSSL_DISPATCH** functions,
                  void** context) {
  static const std::array<OSSL_DISPATCH, 2> list = {{
      {OSSL_FUNC_PROVIDER_QUERY_OPERATION, as_function(&query)},
      {0, nullptr},
  }};
  *functions = list.data();
  static int nothing = 0;
  *context = &nothing;  // OpenSSL takes null for a failure.
  return 1;
}

TlsCrypto make() {
  if (!GcmCipher::is_available()) return {};
  OSSL_LIB_CTX* const context = OSSL_LIB_CTX_new();
  if (context == nullptr) return {};
  if (OSSL_PROVIDER_load(context, "default") == nullptr ||
      OSSL_PROVIDER_add_builtin(context, "phub", &init_provider) != 1 ||
      OSSL_PROVIDER_load(context, "phub") == nullptr) {
    OSSL_LIB_CTX_free(context);
    return {};
  }
  return {context, "?provider=phub"};
}

}  // namespace

TlsCrypto tls_crypto() {
  static const TlsCrypto made = make();
  return made;
}

}  // namespace phub::transport
