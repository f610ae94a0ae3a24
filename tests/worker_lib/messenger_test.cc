// Goal: messages of all sizes reach who asked for them, in order, over shared memory and TCP alike;
// whoever waits for a peer that is gone is told so, by name.
// Method: several messengers in one process, each with its own thread, and the real sockets; every
// case over both fabrics.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <phub/message.h>

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <numeric>

namespace phub {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

std::vector<std::byte> pattern(size_t bytes, uint32_t seed) {
  std::vector<std::byte> data(bytes);
  for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>(seed * 31 + i * 7 + i / 251);
  return data;
}

class MessengerTest : public testing::TestWithParam<bool> {
 protected:
  MessengerOptions options(uint32_t number) const {
    MessengerOptions options;
    options.name = "test";
    options.secret = "open sesame";
    options.number = number;
    options.shared_memory = GetParam();
    return options;
  }
  void SetUp() override {
    a_ = std::make_unique<Messenger>(Messenger::open(options(1)).value());
    b_ = std::make_unique<Messenger>(Messenger::open(options(2)).value());
    const Result<PeerId> to_b = a_->connect(b_->address(), seconds(10));
    ASSERT_TRUE(to_b.ok()) << to_b.status().message();
    to_b_ = *to_b;
    const Result<PeerId> to_a = b_->wait_for_peer(1, seconds(10));
    ASSERT_TRUE(to_a.ok()) << to_a.status().message();
    to_a_ = *to_a;
  }

  std::unique_ptr<Messenger> a_;
  std::unique_ptr<Messenger> b_;
  PeerId to_a_{0};
  PeerId to_b_{0};
};

INSTANTIATE_TEST_SUITE_P(Fabrics, MessengerTest, testing::Values(true, false),
                         [](const auto& one) { return one.param ? "shm" : "tcp"; });

TEST_P(MessengerTest, PeersKnowEachOther) {
  EXPECT_EQ(a_->number_of(to_b_), 2u);
  EXPECT_EQ(b_->number_of(to_a_), 1u);
  EXPECT_THAT(a_->describe(to_b_), HasSubstr(GetParam() ? "shm" : "tcp"));
  EXPECT_THAT(b_->describe(to_a_), HasSubstr("peer 1 (process "));
  EXPECT_EQ(a_->peers().size(), 1u);
}

TEST_P(MessengerTest, MessagesOfAllSizesComeWholeAndInOrder) {
  std::vector<std::vector<std::byte>> sent;
  std::vector<Transfer> transfers;
  for (uint32_t i = 0; i < 200; ++i) {
    const size_t bytes = i % 10 == 0 ? 700'001 * (i / 10 % 4) : i * 97 % 20'000;
    sent.push_back(pattern(bytes, i));
  }
  for (uint32_t i = 0; i < sent.size(); ++i) {
    const size_t cut = sent[i].size() / 3;
    auto transfer = a_->send(
        to_b_, 7,
        {{sent[i].data(), cut}, {nullptr, 0}, {sent[i].data() + cut, sent[i].size() - cut}});
    ASSERT_TRUE(transfer.ok()) << transfer.status().message();
    transfers.push_back(*transfer);
  }
  for (uint32_t i = 0; i < sent.size(); ++i) {
    if (i % 2 == 0) {
      const Result<Message> message = b_->receive(to_a_, 7, seconds(10));
      ASSERT_TRUE(message.ok()) << message.status().message();
      ASSERT_EQ(message->parts.size(), 3u);
      std::vector<std::byte> got;
      for (const auto& part : message->parts) got.insert(got.end(), part.begin(), part.end());
      EXPECT_TRUE(got == sent[i]) << i;
    } else {
      std::vector<std::byte> got(sent[i].size() + 5);
      const auto transfer = b_->receive(kAnyPeer, 7, got);
      ASSERT_TRUE(transfer->wait(seconds(10)).ok());
      EXPECT_EQ(transfer->bytes(), sent[i].size());
      EXPECT_EQ(transfer->peer(), to_a_);
      got.resize(sent[i].size());
      EXPECT_TRUE(got == sent[i]) << i;
    }
  }
  for (const Transfer& transfer : transfers) EXPECT_TRUE(transfer.wait(seconds(10)).ok());
}

TEST_P(MessengerTest, TagsAreMatchedWhateverCameFirst) {
  const std::vector<std::byte> large = pattern(3'000'000, 1);
  const std::vector<std::byte> small = pattern(100, 2);
  const Transfer first = a_->send(to_b_, 1, {{large.data(), large.size()}}).value();
  const Transfer second = a_->send(to_b_, 2, {{small.data(), small.size()}}).value();
  EXPECT_TRUE(second.wait(seconds(10)).ok());
  EXPECT_EQ(b_->receive(to_a_, 2, seconds(10))->bytes(), small.size());
  EXPECT_FALSE(first.is_done());  // Nobody has asked for it: it stays at its sender.
  EXPECT_EQ(b_->receive(to_a_, 1, seconds(10))->bytes(), large.size());
  EXPECT_TRUE(first.wait(seconds(10)).ok());
}

TEST_P(MessengerTest, AMessageThatDoesNotFitIsRefusedToItsReceiverOnly) {
  for (const size_t bytes : {size_t{1000}, size_t{1'000'000}}) {
    const std::vector<std::byte> data = pattern(bytes, 3);
    std::vector<std::byte> room(bytes - 1);
    const Transfer receiving = b_->receive(to_a_, 5, room).value();
    const Transfer sending = a_->send(to_b_, 5, {{data.data(), data.size()}}).value();
    EXPECT_TRUE(sending.wait(seconds(10)).ok());
    const Status status = receiving.wait(seconds(10));
    EXPECT_EQ(status.code(), Code::invalid_argument);
    EXPECT_THAT(status.message(), HasSubstr(std::to_string(bytes)));
  }
  const std::byte one{1};
  EXPECT_TRUE(a_->send(to_b_, 6, {{&one, 1}}).ok());
  EXPECT_EQ(b_->receive(to_a_, 6, seconds(10))->bytes(), 1u);
}

TEST_P(MessengerTest, AHandlerGetsEveryMessageInOrder) {
  std::mutex mutex;
  std::condition_variable news;
  std::vector<uint64_t> tags;
  size_t bytes = 0;
  const std::vector<std::byte> data = pattern(500'000, 4);
  EXPECT_TRUE(a_->send(to_b_, 0, {{data.data(), 3}})->wait(seconds(10)).ok());
  b_->set_handler([&](Message message) {
    const std::lock_guard lock(mutex);
    tags.push_back(message.tag);
    bytes += message.bytes();
    news.notify_all();
  });
  std::vector<Transfer> transfers;
  size_t sent = 3;
  for (uint64_t tag = 1; tag < 100; ++tag) {
    const size_t part = tag % 7 == 0 ? data.size() : tag;
    transfers.push_back(a_->send(to_b_, tag, {{data.data(), part}}).value());
    sent += part;
  }
  std::unique_lock lock(mutex);
  ASSERT_TRUE(news.wait_for(lock, seconds(20), [&] { return tags.size() == 100; }));
  std::vector<uint64_t> wanted(100);
  std::iota(wanted.begin(), wanted.end(), 0);
  EXPECT_EQ(tags, wanted);
  EXPECT_EQ(bytes, sent);
  lock.unlock();
  for (const Transfer& transfer : transfers) EXPECT_TRUE(transfer.wait(seconds(10)).ok());
  a_.reset();
  b_.reset();  // Its handler uses what is here.
}

TEST_P(MessengerTest, BothSendLargeMessagesAtOnce) {
  const std::vector<std::byte> data = pattern(20'000'000, 5);
  std::vector<std::byte> at_a(data.size());
  std::vector<std::byte> at_b(data.size());
  const Transfer b_gets = b_->receive(to_a_, 1, at_b).value();
  const Transfer a_gets = a_->receive(to_b_, 1, at_a).value();
  const Transfer a_sends = a_->send(to_b_, 1, {{data.data(), data.size()}}).value();
  const Transfer b_sends = b_->send(to_a_, 1, {{data.data(), data.size()}}).value();
  for (const Transfer& transfer : {b_gets, a_gets, a_sends, b_sends}) {
    const Status status = transfer.wait(seconds(20));
    EXPECT_TRUE(status.ok()) << status.message();
  }
  EXPECT_TRUE(at_a == data);
  EXPECT_TRUE(at_b == data);
}

TEST_P(MessengerTest, WhoeverLeavesIsNamedAndWhatHeSentArrives) {
  const std::vector<std::byte> data = pattern(10'000, 6);
  const Transfer never = b_->receive(to_a_, 99, std::span<std::byte>()).value();
  for (uint64_t i = 0; i < 50; ++i) EXPECT_TRUE(a_->send(to_b_, 1, {{data.data(), 10}}).ok());
  a_.reset();
  const Status status = never.wait(seconds(10));
  EXPECT_EQ(status.code(), Code::unavailable);
  EXPECT_THAT(status.message(), HasSubstr("peer 1 (process "));
  EXPECT_THAT(status.message(), HasSubstr("has left"));
  for (uint64_t i = 0; i < 50; ++i) EXPECT_TRUE(b_->receive(to_a_, 1, seconds(10)).ok());
  EXPECT_EQ(b_->receive(to_a_, 1, seconds(1)).status().code(), Code::unavailable);
  EXPECT_EQ(b_->send(to_a_, 1, {{data.data(), 10}}).status().code(), Code::unavailable);
  EXPECT_TRUE(b_->peers().empty());
}

TEST_P(MessengerTest, WaitingEndsAtTheDeadlineAndSaysForWhom) {
  std::vector<std::byte> room(10);
  const Transfer transfer = b_->receive(to_a_, 4, room).value();
  const Status status = transfer.wait(milliseconds(1));
  EXPECT_EQ(status.code(), Code::timed_out);
  EXPECT_THAT(status.message(), HasSubstr("peer 1"));
  EXPECT_TRUE(transfer.cancel());
  EXPECT_TRUE(transfer.is_done());
  EXPECT_FALSE(transfer.cancel());
  EXPECT_EQ(b_->wait_for_peer(17, milliseconds(1)).status().code(), Code::timed_out);
}

TEST_P(MessengerTest, AnotherSecretOrNameIsRefused) {
  MessengerOptions other = options(3);
  other.secret = "guess";
  Messenger c = Messenger::open(other).value();
  EXPECT_EQ(c.connect(a_->address(), seconds(5)).status().code(), Code::permission_denied);
  other.secret = "open sesame";
  other.name = "other";
  Messenger d = Messenger::open(other).value();
  const Status status = d.connect(a_->address(), seconds(5)).status();
  EXPECT_EQ(status.code(), Code::invalid_argument);
  EXPECT_THAT(status.message(), HasSubstr("\"test\""));
  EXPECT_EQ(a_->peers().size(), 1u);
}

TEST_P(MessengerTest, ConnectingWaitsForWhoeverIsToListen) {
  std::string address;
  {
    Messenger c = Messenger::open(options(3)).value();
    address = c.address();
  }
  const Status nobody = a_->connect(address, milliseconds(50)).status();
  EXPECT_EQ(nobody.code(), Code::timed_out);
  EXPECT_THAT(nobody.message(), HasSubstr(address));
}

}  // namespace
}  // namespace phub
