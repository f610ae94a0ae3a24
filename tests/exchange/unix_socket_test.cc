// Goal: the hub's door opens to those who may enter, and each failure names its cause.
// Method: sockets in a fresh folder.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "exchange/session_stream.h"
#include "tests/exchange/poll_support.h"

namespace phub::exchange {
namespace {

class UnixSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/phub-socket-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    path_ = folder_ + "/hub.sock";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
  std::string path_;
};

base::Instant soon() { return base::now() + kPatience; }

TEST_F(UnixSocketTest, TheHubSeesWhoConnected) {
  const auto listener = listen_unix(path_);
  ASSERT_TRUE(listener.ok()) << listener.status().message();
  auto nobody = accept_unix(listener->get());
  ASSERT_TRUE(nobody.ok());
  EXPECT_FALSE(nobody->socket.valid());

  const auto client = connect_unix(path_, soon());
  ASSERT_TRUE(client.ok()) << client.status().message();
  ASSERT_TRUE(wait_for(listener->get(), POLLIN));
  auto peer = accept_unix(listener->get());
  ASSERT_TRUE(peer.ok()) << peer.status().message();
  EXPECT_TRUE(peer->socket.valid());
  EXPECT_EQ(peer->process, ::getpid());
  EXPECT_EQ(peer->user, ::getuid());
}

TEST_F(UnixSocketTest, TheSocketIsTheOwnersOnlyUnlessAskedOtherwise) {
  const auto mode = [this] {
    struct stat file {};
    EXPECT_EQ(::stat(path_.c_str(), &file), 0);
    return file.st_mode & 0777u;
  };
  {
    const auto listener = listen_unix(path_);
    ASSERT_TRUE(listener.ok());
    EXPECT_EQ(mode(), 0600u);
  }
  const auto listener = listen_unix(path_, {0666});
  ASSERT_TRUE(listener.ok());
  EXPECT_EQ(mode(), 0666u);
}

TEST_F(UnixSocketTest, ASocketThatNobodyListensOnIsReplaced) {
  { ASSERT_TRUE(listen_unix(path_).ok()); }
  ASSERT_TRUE(std::filesystem::exists(path_));
  EXPECT_EQ(connect_unix(path_, soon()).status().code(), Code::unavailable);
  const auto listener = listen_unix(path_);
  ASSERT_TRUE(listener.ok()) << listener.status().message();
  EXPECT_TRUE(connect_unix(path_, soon()).ok());
}

TEST_F(UnixSocketTest, ASecondHubIsRefusedAndTheFirstGoesOn) {
  const auto first = listen_unix(path_);
  ASSERT_TRUE(first.ok());
  const auto second = listen_unix(path_);
  EXPECT_EQ(second.status().code(), Code::already_exists);
  EXPECT_NE(second.status().message().find(path_), std::string::npos);
  EXPECT_TRUE(connect_unix(path_, soon()).ok());
}

TEST_F(UnixSocketTest, AFileThatIsNoSocketIsKept) {
  std::ofstream(path_) << "precious";
  EXPECT_EQ(listen_unix(path_).status().code(), Code::already_exists);
  EXPECT_EQ(std::filesystem::file_size(path_), 8u);
}

TEST_F(UnixSocketTest, AnAbsentHubIsSaidAtOnce) {
  const auto client = connect_unix(path_, soon());
  EXPECT_EQ(client.status().code(), Code::unavailable);
  EXPECT_NE(client.status().message().find("start phubd first"), std::string::npos);
}

TEST_F(UnixSocketTest, AHubThatDoesNotAcceptRunsIntoTheDeadline) {
  // A backlog of one, and nobody accepts: the connection after the last that fits must wait.
  const auto listener = listen_unix(path_);
  ASSERT_TRUE(listener.ok());
  ASSERT_EQ(::listen(listener->get(), 0), 0);
  std::vector<base::Fd> waiting;
  for (int i = 0; i < 8; ++i) {
    auto client = connect_unix(path_, base::now() + std::chrono::milliseconds(50));
    if (!client.ok()) {
      EXPECT_EQ(client.status().code(), Code::timed_out) << client.status().message();
      return;
    }
    waiting.push_back(*std::move(client));
  }
  FAIL() << "every connection fitted";
}

TEST_F(UnixSocketTest, APathThatDoesNotFitIsRefused) {
  const std::string path = folder_ + "/" + std::string(108, 'x');
  EXPECT_EQ(connect_unix(path, soon()).status().code(), Code::invalid_argument);
  EXPECT_EQ(listen_unix(path).status().code(), Code::invalid_argument);
  EXPECT_EQ(connect_unix("", soon()).status().code(), Code::invalid_argument);
}

TEST_F(UnixSocketTest, AFolderThatIsNotThereIsAnError) {
  const auto listener = listen_unix(folder_ + "/absent/hub.sock");
  EXPECT_FALSE(listener.ok());
  EXPECT_NE(listener.status().message().find("absent/hub.sock"), std::string::npos);
}

}  // namespace
}  // namespace phub::exchange
