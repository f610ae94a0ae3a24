// Goal: only who knows the secret can prove it, and a proof fits one rank, job and connection.
// Method: change each input; compare with an independent implementation.
#include "exchange/session_auth.h"

#include <gtest/gtest.h>

#include <set>

namespace phub::exchange {
namespace {

TEST(SessionAuthTest, NoncesAre32FreshBytesAsHex) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string nonce = make_nonce();
    EXPECT_EQ(nonce.size(), 64u);
    EXPECT_EQ(nonce.find_first_not_of("0123456789abcdef"), std::string::npos);
    EXPECT_TRUE(seen.insert(nonce).second);
  }
}

TEST(SessionAuthTest, AProofDependsOnEveryInput) {
  const std::set<std::string> proofs = {
      prove("secret", "hub", "worker", "job", 1), prove("Secret", "hub", "worker", "job", 1),
      prove("secret", "huB", "worker", "job", 1), prove("secret", "hub", "workeR", "job", 1),
      prove("secret", "hub", "worker", "joB", 1), prove("secret", "hub", "worker", "job", 2),
      prove("", "hub", "worker", "job", 1)};
  EXPECT_EQ(proofs.size(), 7u);
  EXPECT_EQ(prove("secret", "hub", "worker", "job", 1), prove("secret", "hub", "worker", "job", 1));
}

// The same letters cut differently must not give the same proof.
TEST(SessionAuthTest, FieldsCannotRunIntoEachOther) {
  EXPECT_NE(prove("s", "ab", "c", "job", 1), prove("s", "a", "bc", "job", 1));
  EXPECT_NE(prove("s", "a", "b", "job1", 1), prove("s", "a", "b", "job", 11));
  EXPECT_NE(derive_key("bc", "a"), derive_key("c", "ab"));
}

TEST(SessionAuthTest, TheKeyOfAJobDependsOnSecretAndName) {
  EXPECT_EQ(derive_key("secret", "job").size(), 64u);
  EXPECT_NE(derive_key("secret", "job"), derive_key("secret", "job2"));
  EXPECT_NE(derive_key("secret", "job"), derive_key("secret2", "job"));
  EXPECT_EQ(derive_key("secret", "job").find("secret"), std::string::npos);
}

// Computed with Python: hmac.new(b"secret", fields, "sha256"), each field with its length as u32.
TEST(SessionAuthTest, TheLayoutIsAsDocumented) {
  EXPECT_EQ(prove("secret", "hub", "worker", "job", 1),
            "b7f35aa8e573e0797205231e797f8120510efb9d54971ef30274f378379268d9");
}

TEST(SessionAuthTest, ComparisonSeesLengthAndContent) {
  EXPECT_TRUE(is_equal_secret("abc", "abc"));
  EXPECT_TRUE(is_equal_secret("", ""));
  EXPECT_FALSE(is_equal_secret("abc", "abd"));
  EXPECT_FALSE(is_equal_secret("abc", "ab"));
  EXPECT_FALSE(is_equal_secret("", "a"));
}

TEST(SessionAuthTest, AProofOfTheHostFollowsNonceAndBootIdAndIsEmptyWithoutOne) {
  EXPECT_EQ(prove_host("nonce", "boot"), prove_host("nonce", "boot"));
  EXPECT_NE(prove_host("nonce", "boot"), prove_host("nonce", "toob"));
  EXPECT_NE(prove_host("nonce", "boot"), prove_host("noncf", "boot"));
  EXPECT_NE(prove_host("ab", "c"), prove_host("a", "bc"));
  EXPECT_EQ(prove_host("nonce", "boot").size(), 64u);
  EXPECT_EQ(prove_host("nonce", ""), "");
}

}  // namespace
}  // namespace phub::exchange
