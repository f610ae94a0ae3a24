// Goal: AES-GCM by our provider is AES-GCM: the bits of OpenSSL's own, and nothing forged passes.
// Method: the same messages through both, whole and in pieces, at every small length and around the
// sizes of blocks and records; then tags, texts and nonces that are wrong by one bit.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "transport/gcm_provider.h"

namespace phub::transport {
namespace {

using Bytes = std::vector<uint8_t>;

struct Sealed {
  Bytes text;
  Bytes tag;
};

// One way to AES-GCM.
class Gcm {
 public:
  Gcm(const TlsCrypto& crypto, const char* name)
      : cipher_(EVP_CIPHER_fetch(crypto.context, name, crypto.preference), &EVP_CIPHER_free),
        context_(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free) {}

  std::string provider() const {
    return OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(cipher_.get()));
  }
  bool start(const Bytes& key, bool is_encrypting) {
    return EVP_CipherInit_ex(context_.get(), cipher_.get(), nullptr, nullptr, nullptr,
                             is_encrypting) == 1 &&
           EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_IVLEN, 12, nullptr) == 1 &&
           EVP_CipherInit_ex(context_.get(), nullptr, nullptr, key.data(), nullptr, -1) == 1;
  }
  Sealed seal(const Bytes& nonce, const Bytes& associated, const Bytes& text, size_t piece) {
    Sealed sealed{text, Bytes(16)};
    EXPECT_TRUE(begin(nonce, associated, true));
    EXPECT_TRUE(run(sealed.text, piece));
    EXPECT_EQ(finish(sealed.text), 1);
    EXPECT_EQ(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, 16, sealed.tag.data()), 1);
    return sealed;
  }
  // Whether the tag fits; `sealed.text` is decrypted in place.
  bool open(const Bytes& nonce, const Bytes& associated, Sealed& sealed, size_t piece) {
    EXPECT_TRUE(begin(nonce, associated, false, &sealed.tag));
    EXPECT_TRUE(run(sealed.text, piece));
    return finish(sealed.text) == 1;
  }

 private:
  bool begin(const Bytes& nonce, const Bytes& associated, bool is_encrypting,
             Bytes* tag = nullptr) {
    int written = 0;
    return EVP_CipherInit_ex(context_.get(), nullptr, nullptr, nullptr, nonce.data(),
                             is_encrypting) == 1 &&
           (tag == nullptr ||
            EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, 16, tag->data()) == 1) &&
           EVP_CipherUpdate(context_.get(), nullptr, &written, associated.data(),
                            static_cast<int>(associated.size())) == 1;
  }
  bool run(Bytes& text, size_t piece) {
    for (size_t done = 0; done < text.size(); done += piece) {
      const size_t count = std::min(piece, text.size() - done);
      int written = 0;
      if (EVP_CipherUpdate(context_.get(), text.data() + done, &written, text.data() + done,
                           static_cast<int>(count)) != 1 ||
          written != static_cast<int>(count)) {
        return false;
      }
    }
    return true;
  }
  int finish(Bytes& text) {
    int written = 0;
    return EVP_CipherFinal_ex(context_.get(), text.data() + text.size(), &written);
  }

  std::unique_ptr<EVP_CIPHER, decltype(&EVP_CIPHER_free)> cipher_;
  std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context_;
};

Bytes counting(size_t count, int first) {
  Bytes bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(first + 7 * i);
  return bytes;
}

class GcmProvider : public testing::TestWithParam<size_t> {
 protected:
  void SetUp() override {
    if (tls_crypto().context == nullptr) {
      GTEST_SKIP() << "no libipsec-mb, or a processor without VAES: TLS takes OpenSSL's AES-GCM";
    }
    const char* const name = GetParam() == 16 ? "AES-128-GCM" : "AES-256-GCM";
    ours_ = std::make_unique<Gcm>(tls_crypto(), name);
    theirs_ = std::make_unique<Gcm>(TlsCrypto{}, name);
    ASSERT_EQ(ours_->provider(), "phub");
    ASSERT_EQ(theirs_->provider(), "default");
  }
  void start(Gcm& gcm, bool is_encrypting) {
    ASSERT_TRUE(gcm.start(counting(GetParam(), 3), is_encrypting));
  }
  std::unique_ptr<Gcm> ours_;
  std::unique_ptr<Gcm> theirs_;
};

TEST_P(GcmProvider, MakesTheSameBitsAsOpenSslAtEveryLengthWholeAndInPieces) {
  std::vector<size_t> lengths(300);
  std::iota(lengths.begin(), lengths.end(), 0);
  for (const size_t length : {1023u, 1024u, 1025u, 16383u, 16384u, 16385u, 70000u}) {
    lengths.push_back(length);
  }
  start(*ours_, true);
  start(*theirs_, true);
  for (const size_t length : lengths) {
    const Bytes nonce = counting(12, static_cast<int>(length));
    const Bytes text = counting(length, 11);
    const Bytes associated = counting(1 + length % 40, 5);
    const Sealed expected = theirs_->seal(nonce, associated, text, 1 << 20);
    for (const size_t piece : {size_t{1} << 20, size_t{17}}) {
      const Sealed sealed = ours_->seal(nonce, associated, text, piece);
      ASSERT_EQ(sealed.text, expected.text) << length << " bytes in pieces of " << piece;
      ASSERT_EQ(sealed.tag, expected.tag) << length << " bytes in pieces of " << piece;
    }
  }
}

TEST_P(GcmProvider, OpensWhatOpenSslSealedAndRefusesWhatIsWrongByOneBit) {
  start(*ours_, false);
  start(*theirs_, true);
  for (const size_t length : {0u, 1u, 15u, 16u, 17u, 256u, 16384u}) {
    const Bytes nonce = counting(12, 9);
    const Bytes associated = counting(5, 1);
    const Bytes text = counting(length, 2);
    const Sealed sealed = theirs_->seal(nonce, associated, text, 1 << 20);
    Sealed right = sealed;
    ASSERT_TRUE(ours_->open(nonce, associated, right, 1 << 20)) << length;
    ASSERT_EQ(right.text, text);
    Sealed wrong_tag = sealed;
    wrong_tag.tag[15] ^= 1;
    EXPECT_FALSE(ours_->open(nonce, associated, wrong_tag, 1 << 20)) << length;
    Bytes other = associated;
    other[4] ^= 0x80;
    Sealed wrong_data = sealed;
    EXPECT_FALSE(ours_->open(nonce, other, wrong_data, 1 << 20)) << length;
    other = nonce;
    other[0] ^= 1;
    Sealed wrong_nonce = sealed;
    EXPECT_FALSE(ours_->open(other, associated, wrong_nonce, 1 << 20)) << length;
    if (length == 0) continue;
    Sealed wrong_text = sealed;
    wrong_text.text[length / 2] ^= 4;
    EXPECT_FALSE(ours_->open(nonce, associated, wrong_text, 1 << 20)) << length;
  }
}

TEST_P(GcmProvider, RefusesKeysAndNoncesOfOtherLengthsAndTextWithoutANonce) {
  const TlsCrypto crypto = tls_crypto();
  const std::unique_ptr<EVP_CIPHER, decltype(&EVP_CIPHER_free)> cipher(
      EVP_CIPHER_fetch(crypto.context, GetParam() == 16 ? "AES-128-GCM" : "AES-256-GCM",
                       crypto.preference),
      &EVP_CIPHER_free);
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(
      EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  const Bytes key = counting(GetParam(), 3);
  ASSERT_EQ(EVP_EncryptInit_ex2(context.get(), cipher.get(), key.data(), nullptr, nullptr), 1);
  EXPECT_NE(EVP_CIPHER_CTX_set_key_length(context.get(), 24), 1);
  EXPECT_NE(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_IVLEN, 16, nullptr), 1);
  Bytes text(16);
  int written = 0;
  EXPECT_NE(EVP_EncryptUpdate(context.get(), text.data(), &written, text.data(), 16), 1);
}

INSTANTIATE_TEST_SUITE_P(keys, GcmProvider, testing::Values(16, 32),
                         [](const auto& key) { return std::to_string(key.param * 8) + "_bits"; });

}  // namespace
}  // namespace phub::transport
