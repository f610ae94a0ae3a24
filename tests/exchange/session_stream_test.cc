// Goal: messages and their descriptors come through a stream socket together, however the bytes are
// cut, and a hostile peer ends its own connection and nothing else.
// Method: socket pairs; the raw end sends bytes and descriptors as no correct peer would.
#include "exchange/session_stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>

#include "base/memory.h"
#include "exchange/session_codec.h"
#include "tests/exchange/poll_support.h"
#include "tests/exchange/session_samples.h"

namespace phub::exchange {
namespace {

size_t open_fd_count() {
  const std::filesystem::directory_iterator folder("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(folder), end(folder)));
}

// A file whose size tells which one it is.
base::Fd make_file(size_t size) {
  auto fd = base::make_sealed_memfd("test", size);
  EXPECT_TRUE(fd.ok()) << fd.status().message();
  return fd.ok() ? *std::move(fd) : base::Fd();
}

size_t size_of_file(const base::Fd& fd) {
  struct stat file {};
  EXPECT_EQ(::fstat(fd.get(), &file), 0);
  return static_cast<size_t>(file.st_size);
}

// Raw bytes with `fd_count` copies of a descriptor.
void send_raw(int socket, std::string_view bytes, size_t fd_count = 0) {
  const base::Fd file = fd_count > 0 ? make_file(1) : base::Fd();
  std::vector<int> fds(fd_count, file.get());
  std::vector<char> control(CMSG_SPACE(fd_count * sizeof(int)));
  iovec place{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_iov = &place;
  header.msg_iovlen = 1;
  if (fd_count > 0) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* const part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
    std::memcpy(CMSG_DATA(part), fds.data(), fd_count * sizeof(int));
  }
  ASSERT_EQ(::sendmsg(socket, &header, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

Message make_offer(uint32_t epoch, const std::vector<size_t>& sizes) {
  Message message{Offer{.epoch = epoch,
                        .digest = 0,
                        .links = {"link"},
                        .fd_counts = {static_cast<uint32_t>(sizes.size())}},
                  {}};
  for (const size_t size : sizes) message.fds.push_back(make_file(size));
  return message;
}

struct Ends {
  base::Fd raw;
  SessionStream stream;
};
Ends make_ends(uint32_t frame_limit = kFrameBytesMax) {
  auto [raw, other] = make_socket_pair();
  return {std::move(raw), SessionStream(std::move(other), frame_limit)};
}

TEST(SessionStreamTest, EveryMessageComesThroughInOrder) {
  auto [a, b] = make_socket_pair();
  SessionStream sender(std::move(a), kFrameBytesMax);
  SessionStream receiver(std::move(b), kFrameBytesMax);
  std::vector<std::string> sent;
  for (Body& body : make_samples()) {
    if (fd_count(body) > 0) continue;
    sent.push_back(encode(body));
    sender.queue(Message{std::move(body), {}});
  }
  EXPECT_GT(sender.queued_bytes(), 0u);
  ASSERT_TRUE(sender.write().ok());
  EXPECT_FALSE(sender.wants_write());
  EXPECT_EQ(sender.queued_bytes(), 0u);
  std::vector<Message> messages;
  ASSERT_TRUE(receiver.read(messages).ok());
  ASSERT_EQ(messages.size(), sent.size());
  for (size_t i = 0; i < sent.size(); ++i) EXPECT_EQ(encode(messages[i].body), sent[i]);
}

TEST(SessionStreamTest, MessagesSentByteByByteComeThrough) {
  Ends ends = make_ends();
  std::vector<Message> messages;
  size_t sent_count = 0;
  for (const Body& body : make_samples()) {
    if (fd_count(body) > 0) continue;
    for (const char byte : encode(body)) {
      EXPECT_EQ(messages.size(), sent_count) << "a message came before its last byte";
      send_raw(ends.raw.get(), {&byte, 1});
      ASSERT_TRUE(ends.stream.read(messages).ok());
    }
    ++sent_count;
  }
  EXPECT_EQ(messages.size(), sent_count);
}

TEST(SessionStreamTest, DescriptorsArriveWithTheirOwnMessage) {
  auto [a, b] = make_socket_pair();
  SessionStream sender(std::move(a), kFrameBytesMax);
  SessionStream receiver(std::move(b), kFrameBytesMax);
  sender.queue(make_offer(1, {100, 200}));
  sender.queue(Message{Heartbeat{}, {}});
  sender.queue(make_offer(2, {}));
  sender.queue(make_offer(3, {300}));
  sender.queue(make_offer(4, std::vector<size_t>(kFrameFdsMax, 400)));
  std::vector<Message> messages;
  while (sender.wants_write()) {
    ASSERT_TRUE(sender.write().ok());
    ASSERT_TRUE(receiver.read(messages).ok());
  }
  ASSERT_TRUE(read_until(receiver, 5, messages).ok());
  ASSERT_EQ(messages[0].fds.size(), 2u);
  EXPECT_EQ(size_of_file(messages[0].fds[0]), 100u);
  EXPECT_EQ(size_of_file(messages[0].fds[1]), 200u);
  EXPECT_EQ(messages[1].fds.size(), 0u);
  EXPECT_EQ(messages[2].fds.size(), 0u);
  ASSERT_EQ(messages[3].fds.size(), 1u);
  EXPECT_EQ(size_of_file(messages[3].fds[0]), 300u);
  EXPECT_EQ(messages[4].fds.size(), kFrameFdsMax);
  EXPECT_NE(::fcntl(messages[0].fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(SessionStreamTest, AMessageLargerThanTheSocketGoesInPieces) {
  auto [a, b] = make_socket_pair();
  SessionStream sender(std::move(a), kFrameBytesMax);
  SessionStream receiver(std::move(b), kFrameBytesMax);
  StateReply reply{.id = 1, .code = 0, .message = "", .step_count = 0, .blob = ""};
  reply.blob.assign(20 << 20, 'f');
  sender.queue(Message{reply, {}});
  std::vector<Message> messages;
  size_t writes = 0;
  while (messages.empty()) {
    ASSERT_TRUE(sender.write().ok());
    ASSERT_TRUE(wait_for(receiver.fd(), POLLIN));
    ASSERT_TRUE(receiver.read(messages).ok());
    ++writes;
  }
  EXPECT_GT(writes, 1u);
  EXPECT_EQ(std::get<StateReply>(messages[0].body).blob, reply.blob);
}

TEST(SessionStreamTest, AClosedPeerIsUnavailableAfterItsLastMessage) {
  Ends ends = make_ends();
  send_raw(ends.raw.get(), encode(Failure{.code = 8, .message = "why"}));
  ends.raw = base::Fd();
  std::vector<Message> messages;
  EXPECT_EQ(ends.stream.read(messages).code(), Code::unavailable);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(std::get<Failure>(messages[0].body).message, "why");
  ends.stream.queue(Message{Heartbeat{}, {}});
  EXPECT_EQ(ends.stream.write().code(), Code::unavailable);
}

TEST(SessionStreamTest, AFrameCutByTheEndIsSaidSo) {
  Ends ends = make_ends();
  send_raw(ends.raw.get(), encode(Heartbeat{}).substr(0, 7));
  ends.raw = base::Fd();
  std::vector<Message> messages;
  const Status status = ends.stream.read(messages);
  EXPECT_EQ(status.code(), Code::unavailable);
  EXPECT_NE(status.message().find("after 7 bytes of a frame"), std::string::npos);
}

TEST(SessionStreamTest, BrokenBytesAreRefusedAfterTheGoodOnes) {
  Ends ends = make_ends();
  send_raw(ends.raw.get(), encode(Barrier{.id = 5}) + "GET / HTTP/1.1\r\n\r\n\r\n");
  std::vector<Message> messages;
  EXPECT_EQ(ends.stream.read(messages).code(), Code::invalid_argument);
  EXPECT_EQ(messages.size(), 1u);
}

TEST(SessionStreamTest, TheFrameLimitHoldsBeforeTheBodyCame) {
  Ends ends = make_ends(kFrameBytesBeforeAuth);
  const std::string frame = encode(Failure{.code = 1, .message = std::string(5000, 'x')});
  send_raw(ends.raw.get(), frame.substr(0, kFrameHeaderBytes));
  std::vector<Message> messages;
  EXPECT_EQ(ends.stream.read(messages).code(), Code::invalid_argument);

  Ends raised = make_ends(kFrameBytesBeforeAuth);
  raised.stream.set_frame_limit(kFrameBytesMax);
  send_raw(raised.raw.get(), frame);
  EXPECT_TRUE(raised.stream.read(messages).ok());
  EXPECT_EQ(messages.size(), 1u);
}

TEST(SessionStreamTest, AFrameWithoutItsDescriptorsIsRefused) {
  Ends ends = make_ends();
  send_raw(ends.raw.get(), encode(make_offer(1, {1, 1}).body), 1);
  std::vector<Message> messages;
  const Status status = ends.stream.read(messages);
  EXPECT_EQ(status.code(), Code::invalid_argument);
  EXPECT_NE(status.message().find("has 2 descriptors, but came with 1"), std::string::npos);
  EXPECT_TRUE(messages.empty());
}

struct Flood {
  const char* name;
  uint32_t frame_limit;
  std::string bytes;  // Sent again and again, each time with fd_count descriptors.
  size_t fd_count;
};

// However they are sent: the connection ends, and this process has not one descriptor more.
TEST(SessionStreamTest, DescriptorsThatBelongToNoFrameEndTheConnectionAndAreClosed) {
  const Flood floods[] = {
      {"with a message that has none", kFrameBytesMax, encode(Heartbeat{}), 1},
      {"more than the frame says", kFrameBytesMax, encode(make_offer(1, {1}).body), 2},
      {"as many as the kernel allows", kFrameBytesMax, encode(make_offer(1, {1}).body), 253},
      {"with the first byte of a frame, before the secret is proved", kFrameBytesBeforeAuth, "P",
       1},
      {"with each byte of a header", kFrameBytesMax, "P", 200},
  };
  for (const Flood& flood : floods) {
    SCOPED_TRACE(flood.name);
    const size_t before = open_fd_count();
    {
      Ends ends = make_ends(flood.frame_limit);
      std::vector<Message> messages;
      Status status;
      for (int i = 0; i < 3 && status.ok(); ++i) {
        send_raw(ends.raw.get(), flood.bytes, flood.fd_count);
        status = ends.stream.read(messages);
        EXPECT_LE(open_fd_count(), before + 2 + 2 * 253);
      }
      EXPECT_EQ(status.code(), Code::invalid_argument) << status.message();
    }
    EXPECT_EQ(open_fd_count(), before);
  }
}

TEST(SessionStreamTest, DescriptorsMayComeWithAnyByteOfTheirFrame) {
  Ends ends = make_ends();
  const std::string frame = encode(make_offer(1, {1}).body);
  std::vector<Message> messages;
  send_raw(ends.raw.get(), frame.substr(0, 30));
  ASSERT_TRUE(ends.stream.read(messages).ok());
  send_raw(ends.raw.get(), frame.substr(30), 1);
  ASSERT_TRUE(ends.stream.read(messages).ok());
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].fds.size(), 1u);
}

}  // namespace
}  // namespace phub::exchange
