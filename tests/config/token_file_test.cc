// Goal: a token is read only from a file that keeps it secret, and no message repeats it.
// Method: files in a private temporary folder, one fault each.
#include "config/token_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace phub::config {
namespace {

class TokenFileTest : public testing::Test {
 protected:
  TokenFileTest() : folder_(testing::TempDir() + "phub_token_" + std::to_string(::getpid())) {
    std::filesystem::create_directory(folder_);
  }
  ~TokenFileTest() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& content, mode_t mode = 0600) {
    const std::string path = folder_ + "/token";
    std::ofstream(path) << content;
    ::chmod(path.c_str(), mode);
    return path;
  }

  std::string folder_;
};

constexpr const char* kToken = "0123456789abcdef0123456789abcdef";

TEST_F(TokenFileTest, TheFirstLineIsTheToken) {
  EXPECT_EQ(*read_token_file(write(kToken)), kToken);
  EXPECT_EQ(*read_token_file(write(std::string(kToken) + "\nanything\n")), kToken);
}

TEST_F(TokenFileTest, AFileThatOthersCanReadIsRefused) {
  const Result<std::string> token = read_token_file(write(kToken, 0644));
  ASSERT_FALSE(token.ok());
  EXPECT_EQ(token.status().code(), Code::permission_denied);
  EXPECT_NE(token.status().message().find("chmod 600"), std::string::npos);
}

TEST_F(TokenFileTest, AMissingFileIsNotFound) {
  const Result<std::string> token = read_token_file(folder_ + "/none");
  ASSERT_FALSE(token.ok());
  EXPECT_EQ(token.status().code(), Code::not_found);
  EXPECT_NE(token.status().message().find("/none"), std::string::npos);
}

TEST_F(TokenFileTest, ShortLongAndUnprintableTokensAreRefusedWithoutRepeatingThem) {
  for (const std::string& content :
       {std::string("short-secret"), std::string(600, 'x'), std::string("short secret with spaces"),
        std::string("short\x01secret-0123456789"), std::string()}) {
    const Result<std::string> token = read_token_file(write(content));
    ASSERT_FALSE(token.ok()) << content;
    EXPECT_EQ(token.status().code(), Code::invalid_argument);
    EXPECT_EQ(token.status().message().find("short"), std::string::npos);
    EXPECT_EQ(token.status().message().find("xxx"), std::string::npos);
  }
}

TEST_F(TokenFileTest, AFolderIsNoTokenFile) {
  ::chmod(folder_.c_str(), 0700);
  EXPECT_EQ(read_token_file(folder_).status().code(), Code::invalid_argument);
}

}  // namespace
}  // namespace phub::config
