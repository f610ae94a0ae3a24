// Goal: whoever is not a link's worker gets nowhere, and a worker that breaks the rules loses its
// own link only, with the reason. Method: raw sockets against a real acceptor on the loopback; what
// the conformance suite checks for every fabric is not repeated here.
#include "transport/tcp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/random.h"

namespace phub::transport {
namespace {

using testing::HasSubstr;

constexpr uint32_t kSlotBytes = 256;

class TcpTest : public testing::Test {
 protected:
  void SetUp() override { start(1); }
  void start(uint32_t streams) {
    options_ = peer_options_ = {};
    const base::HostPort any{"127.0.0.1", 0};
    fabric_ = std::move(TcpFabric::make({.listen = any, .streams = streams})).value();
    memory_ = fabric_->allocate(2 * kSlotBytes)->data();
    options_.slots = {{memory_, kSlotBytes}, {memory_ + kSlotBytes, kSlotBytes}};
    options_.peer_slot_count = 1;
    options_.acceptor_puts_max = options_.connector_puts_max = 4;
    peer_options_.slots = {{peer_slot_.data(), kSlotBytes}};
    peer_options_.peer_slot_count = 2;
    peer_options_.acceptor_puts_max = peer_options_.connector_puts_max = 4;
    Bootstrap offer;
    link_ = fabric_->open(options_, &offer).value();
    offer_ = decode_tcp_offer(offer.blob, peer_options_).value();
    ASSERT_TRUE(fabric_->accept(link_, {encode_tcp_answer(peer_options_), {}}).ok());
  }

  base::Fd dial() const {
    return std::move(connect_tcp({"127.0.0.1", offer_.port}, base::now() + std::chrono::seconds(5)))
        .value();
  }
  // A link's connection with this number.
  base::Fd dial_as_worker(uint8_t number = 0) const {
    base::Fd socket = dial();
    const TcpHello hello = encode_tcp_hello({offer_.token, number});
    say(socket, {reinterpret_cast<const char*>(hello.data()), hello.size()});
    return socket;
  }
  static void say(const base::Fd& socket, std::string_view bytes) {
    EXPECT_EQ(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), std::ssize(bytes));
  }
  static std::string frame(uint32_t tag, uint32_t slot, uint32_t bytes,
                           uint32_t mark = kTcpFrameMark, uint32_t count = 1) {
    const std::array<uint32_t, 5> numbers = {mark, count, tag, slot, bytes};
    std::string text(sizeof(numbers), '\0');
    std::memcpy(text.data(), numbers.data(), sizeof(numbers));
    return text;
  }
  // Polls until something comes of it; at most about a second.
  std::vector<Event> poll_some() {
    std::array<Event, 8> events;
    for (int i = 0; i < 1000; ++i) {
      const size_t count = fabric_->poll(base::now(), events);
      if (count > 0) return {events.begin(), events.begin() + static_cast<std::ptrdiff_t>(count)};
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return {};
  }
  std::string reason_after(const std::string& bytes) {
    const base::Fd socket = dial_as_worker();
    say(socket, bytes);
    const std::vector<Event> events = poll_some();
    if (events.size() != 1 || events[0].kind != EventKind::lost) return "not lost";
    return fabric_->lost_reason(link_);
  }

  std::unique_ptr<Fabric> fabric_;
  std::byte* memory_ = nullptr;
  std::array<std::byte, kSlotBytes> peer_slot_ = {};
  LinkOptions options_, peer_options_;
  LinkId link_{0};
  TcpOffer offer_;
};

TEST_F(TcpTest, AWrongTokenIsCutOffAndTheRightOneStillComesIn) {
  const base::Fd stranger = dial();
  say(stranger, "PHUBTCP2" + std::string(17, '\0'));
  const base::Fd talker = dial();
  base::Random random(3);
  std::string noise(1000, '\0');
  for (char& byte : noise) byte = static_cast<char>(random.next());
  say(talker, noise);
  const base::Fd silent = dial();
  const base::Fd worker = dial_as_worker();
  say(worker, frame(5, 1, 3) + "abc");
  const std::vector<Event> events = poll_some();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].tag, 5u);
  EXPECT_EQ(std::memcmp(memory_ + kSlotBytes, "abc", 3), 0);
  for (const base::Fd* const socket : {&stranger, &talker}) {
    char byte = 0;
    for (int i = 0; i < 100 && ::recv(socket->get(), &byte, 1, MSG_DONTWAIT) < 0; ++i) {
      if (errno != EAGAIN) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_LE(::recv(socket->get(), &byte, 1, MSG_DONTWAIT), 0);
  }
}

TEST_F(TcpTest, BytesThatComeOneByOneMakeAFrame) {
  const base::Fd worker = dial_as_worker();
  const std::string bytes = frame(9, 0, 2) + "hi" + frame(10, 1, 0);
  for (const char byte : bytes) {
    say(worker, {&byte, 1});
    std::array<Event, 1> event;
    fabric_->poll(base::now(), event);
  }
  EXPECT_EQ(std::memcmp(memory_, "hi", 2), 0);
}

TEST_F(TcpTest, ASlotThatIsNotThereCostsTheLink) {
  EXPECT_THAT(reason_after(frame(1, 2, 0)), HasSubstr("slot 2 of 2"));
}
TEST_F(TcpTest, APayloadLongerThanItsSlotCostsTheLinkBeforeAByteOfItIsTaken) {
  EXPECT_THAT(reason_after(frame(1, 0, kSlotBytes + 1)), HasSubstr("257 bytes to a slot of 256"));
  EXPECT_EQ(memory_[0], std::byte{0});
}
TEST_F(TcpTest, BytesThatAreNoFrameCostTheLink) {
  EXPECT_THAT(reason_after(frame(1, 0, 4, 0xdeadbeef)), HasSubstr("no frame"));
}
TEST_F(TcpTest, AFrameWithoutPutsCostsTheLink) {
  EXPECT_THAT(reason_after(frame(1, 0, 0, kTcpFrameMark, 0)), HasSubstr("no frame"));
}
TEST_F(TcpTest, AFrameOfMorePutsThanThereMayBeCostsTheLink) {
  EXPECT_THAT(reason_after(frame(1, 0, 0, kTcpFrameMark, kTcpFramePutsMax + 1)),
              HasSubstr("no frame"));
}
TEST_F(TcpTest, OnePutOfManyThatHasNoSlotCostsTheLinkBeforeAByteIsTaken) {
  const std::string first = frame(1, 0, 3, kTcpFrameMark, 2);
  EXPECT_THAT(reason_after(first + frame(2, 7, 0).substr(8) + "abc"), HasSubstr("slot 7 of 2"));
  EXPECT_EQ(memory_[0], std::byte{0});
}

TEST_F(TcpTest, AFrameOfSeveralPutsArrivesInOrderHoweverItIsCut) {
  const std::string bytes =
      frame(5, 1, 3, kTcpFrameMark, 2) + frame(6, 0, 4).substr(8) + "abcdefg" + frame(7, 1, 0);
  const base::Fd worker = dial_as_worker();
  std::vector<uint32_t> tags;
  for (size_t cut = 0; cut < bytes.size(); cut += 5) {
    say(worker, bytes.substr(cut, 5));
    std::array<Event, 8> events;
    const size_t count = fabric_->poll(base::now(), events);
    for (size_t i = 0; i < count; ++i) tags.push_back(events[i].tag);
  }
  while (tags.size() < 3) {
    const std::vector<Event> events = poll_some();
    ASSERT_FALSE(events.empty());
    for (const Event& event : events) tags.push_back(event.tag);
  }
  EXPECT_THAT(tags, testing::ElementsAre(5u, 6u, 7u));
  EXPECT_EQ(std::memcmp(memory_ + kSlotBytes, "abc", 3), 0);
  EXPECT_EQ(std::memcmp(memory_, "defg", 4), 0);
}

TEST_F(TcpTest, AConnectionThatEndsInsideAFrameIsReportedSo) {
  base::Fd worker = dial_as_worker();
  say(worker, frame(1, 0, 100) + "only these");
  worker = base::Fd();
  const std::vector<Event> events = poll_some();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, EventKind::lost);
  EXPECT_THAT(fabric_->lost_reason(link_), HasSubstr("inside a frame"));
}

// Whether the acceptor has ended the connection, polling it for at most about a second.
bool is_cut_off(const base::Fd& socket, Fabric& fabric) {
  std::array<Event, 8> events;
  for (int i = 0; i < 1000; ++i) {
    fabric.poll(base::now(), events);
    char byte = 0;
    const ssize_t count = ::recv(socket.get(), &byte, 1, MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

TEST_F(TcpTest, EachConnectionOfALinkBringsItsFrames) {
  start(4);
  EXPECT_EQ(offer_.streams, 4u);
  std::vector<base::Fd> workers;
  for (const uint8_t number : {2, 0, 3, 1}) {
    workers.push_back(dial_as_worker(number));
    say(workers.back(), frame(number, 1, 1) + "x");
    const std::vector<Event> events = poll_some();
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].tag, number);
  }
}

TEST_F(TcpTest, AConnectionThatTheLinkDoesNotHaveOrHasAlreadyIsCutOffAndTheLinkStays) {
  start(4);
  const base::Fd first = dial_as_worker(3);
  say(first, frame(1, 0, 0));
  ASSERT_EQ(poll_some().size(), 1u);
  for (const uint8_t number : {3, 4, 255}) {
    EXPECT_TRUE(is_cut_off(dial_as_worker(number), *fabric_)) << int{number};
  }
  std::vector<base::Fd> others;
  for (const uint8_t number : {0, 1, 2}) others.push_back(dial_as_worker(number));
  say(others.back(), frame(2, 0, 0));
  ASSERT_EQ(poll_some().size(), 1u);
  // The link is up: nobody else is let in by its token.
  EXPECT_TRUE(is_cut_off(dial_as_worker(0), *fabric_));
  say(first, frame(3, 0, 0));
  const std::vector<Event> events = poll_some();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].tag, 3u);
}

TEST_F(TcpTest, OneOfFourConnectionsThatEndsCostsTheLinkAfterWhatTheOthersBrought) {
  start(4);
  std::vector<base::Fd> workers;
  for (const uint8_t number : {0, 1, 2, 3}) workers.push_back(dial_as_worker(number));
  say(workers[0], frame(7, 0, 0));
  ASSERT_EQ(poll_some().size(), 1u);
  say(workers[1], frame(8, 0, 0));
  say(workers[3], frame(9, 0, 0));
  workers[2] = base::Fd();
  std::vector<uint32_t> tags;
  std::vector<Event> events;
  while (events.empty() || events.back().kind == EventKind::arrived) {
    events = poll_some();
    ASSERT_FALSE(events.empty());
    for (const Event& event : events) tags.push_back(event.tag);
  }
  EXPECT_EQ(events.back().kind, EventKind::lost);
  tags.pop_back();
  EXPECT_THAT(tags, testing::UnorderedElementsAre(8u, 9u));
  EXPECT_THAT(fabric_->lost_reason(link_), HasSubstr("connection 3 of 4: the peer has closed"));
}

TEST_F(TcpTest, BytesThatAreNoFrameOnOneOfFourConnectionsCostTheLink) {
  start(4);
  const base::Fd silent = dial_as_worker(0);
  const base::Fd worker = dial_as_worker(1);
  say(worker, frame(1, 2, 0));
  const std::vector<Event> events = poll_some();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, EventKind::lost);
  EXPECT_THAT(fabric_->lost_reason(link_), HasSubstr("connection 2 of 4: the peer put to slot 2"));
}

TEST_F(TcpTest, AConnectionThatIsMissingAfterTwentySecondsCostsTheLink) {
  start(2);
  const base::Fd worker = dial_as_worker(1);
  say(worker, frame(1, 0, 0));
  ASSERT_EQ(poll_some().size(), 1u);
  std::array<Event, 1> event;
  EXPECT_EQ(fabric_->poll(base::now() + std::chrono::seconds(21), event), 1u);
  EXPECT_EQ(event[0].kind, EventKind::lost);
  EXPECT_THAT(fabric_->lost_reason(link_), HasSubstr("not all 2 connections"));
}

TEST_F(TcpTest, AnOfferOfNoOrTooManyConnectionsIsMalformed) {
  for (const uint8_t streams : {0, 17}) {
    offer_.streams = streams;
    LinkOptions acceptor = options_;
    const Status status =
        decode_tcp_offer(encode_tcp_offer(offer_, acceptor), peer_options_).status();
    EXPECT_THAT(status.message(), HasSubstr("malformed")) << int{streams};
  }
}

// A connection whose peer reads nothing holds its frame; the others go on, and `sent` events come
// in that order.
TEST_F(TcpTest, PutsGoAroundAConnectionThatIsStuck) {
  start(2);
  constexpr uint32_t kBytes = 1 << 20;
  const std::byte* const data = fabric_->allocate(kBytes)->data();
  std::vector<base::Fd> workers;
  for (const uint8_t number : {0, 1}) workers.push_back(dial_as_worker(number));
  std::vector<std::byte> sink(kBytes);
  std::vector<uint64_t> sent;
  uint64_t next = 0;
  for (int i = 0; i < 2000 && sent.size() < 64; ++i) {
    std::array<Event, 8> events;
    const size_t count = fabric_->poll(base::now(), events);
    for (size_t k = 0; k < count; ++k) sent.push_back(events[k].cookie);
    const Put put = {.link = link_, .bytes = kBytes, .data = data, .cookie = next};
    if (next - sent.size() < 4) next += fabric_->put({&put, 1});
    while (::recv(workers[1].get(), sink.data(), sink.size(), MSG_DONTWAIT) > 0) {
    }
  }
  ASSERT_GE(sent.size(), 64u);
  std::sort(sent.begin(), sent.end());
  EXPECT_EQ(std::unique(sent.begin(), sent.end()), sent.end());
  EXPECT_LT(sent.size(), next);  // What the stuck one holds.
}

TEST_F(TcpTest, WhoNeverComesIsNamedAfterTwentySeconds) {
  std::array<Event, 1> event;
  EXPECT_EQ(fabric_->poll(base::Instant{1}, event), 0u);
  EXPECT_EQ(fabric_->poll(base::Instant{1} + std::chrono::seconds(21), event), 1u);
  EXPECT_EQ(event[0].kind, EventKind::lost);
  EXPECT_THAT(fabric_->lost_reason(link_), HasSubstr("no connection"));
}

TEST_F(TcpTest, ARefusedConnectionIsSaidWithTheAddress) {
  offer_.host = "127.0.0.1";
  const uint16_t port = offer_.port;
  fabric_.reset();  // Nobody listens any more.
  const auto worker = std::move(TcpFabric::make({})).value();
  Bootstrap answer;
  // The acceptor's numbers are the other way round.
  LinkOptions acceptor = options_;
  acceptor.acceptor_puts_max = acceptor.connector_puts_max = 4;
  const auto link =
      worker->connect(peer_options_, {encode_tcp_offer(offer_, acceptor), {}}, &answer);
  ASSERT_TRUE(link.ok()) << link.status().message();
  std::array<Event, 1> event;
  size_t count = 0;
  for (int i = 0; i < 1000 && count == 0; ++i) {
    count = worker->poll(base::now(), event);
    if (count == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ASSERT_EQ(count, 1u);
  EXPECT_THAT(worker->lost_reason(*link), HasSubstr("127.0.0.1:" + std::to_string(port)));
  EXPECT_THAT(worker->lost_reason(*link), HasSubstr("refused"));
}

}  // namespace
}  // namespace phub::transport
