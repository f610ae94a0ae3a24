// Goal: the two halves of a link keep their rules packet by packet: what is taken, repeated,
// delayed, refused; how timers and windows move.
// Method: packets by hand, time as a number; a hostile sender against guard bytes.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "base/random.h"
#include "transport/datagram_receiver.h"
#include "transport/datagram_sender.h"

namespace phub::transport {
namespace {

using Verdict = DatagramReceiver::Verdict;

std::vector<std::byte> body(std::vector<Fragment> fragments) {
  std::vector<std::byte> bytes(4000);
  base::ByteWriter writer(bytes);
  for (const Fragment& fragment : fragments) encode(fragment, writer);
  bytes.resize(writer.size());
  return bytes;
}

class DatagramReceiverTest : public testing::Test {
 protected:
  static constexpr uint32_t kSlotBytes = 100;
  DatagramReceiverTest()
      : memory_(3 * kSlotBytes),
        receiver_(4, {{memory_.data() + kSlotBytes, kSlotBytes},
                      {memory_.data() + 2 * kSlotBytes, kSlotBytes}}) {}

  Verdict take(uint64_t number, std::vector<Fragment> fragments) {
    return receiver_.on_data(number, body(std::move(fragments)),
                             [this](const DatagramReceiver::Arrived& arrival) {
                               arrived_.push_back(arrival.message);
                               if (arrival.bytes > 0) held_.emplace_back(arrival);
                             });
  }
  std::vector<std::byte> memory_;  // A guard, then two slots.
  DatagramReceiver receiver_;
  std::vector<uint64_t> arrived_;
  std::vector<DatagramReceiver::Arrived> held_;  // Those with bytes.
};

const std::vector<std::byte> kOnes(50, std::byte{1});
const std::vector<std::byte> kTwos(50, std::byte{2});

TEST_F(DatagramReceiverTest, PiecesInAnyOrderMakeOneArrival) {
  EXPECT_EQ(take(1, {{0, 0, 7, 100, 50, kTwos}}), Verdict::taken);
  EXPECT_TRUE(arrived_.empty());
  EXPECT_EQ(receiver_.ack().next, 0u);
  EXPECT_EQ(receiver_.ack().received[0], 2u);
  EXPECT_EQ(take(0, {{0, 0, 7, 100, 0, kOnes}}), Verdict::taken);
  EXPECT_EQ(arrived_, (std::vector<uint64_t>{0}));
  EXPECT_EQ(receiver_.ack().next, 2u);
  EXPECT_EQ(receiver_.ack().received[0], 0u);
}

TEST_F(DatagramReceiverTest, LateCopyNeverTouchesTheSlot) {
  EXPECT_EQ(take(0, {{0, 0, 7, 50, 0, kOnes}}), Verdict::taken);
  EXPECT_TRUE(receiver_.release(0, 0));
  memory_[kSlotBytes] = std::byte{9};  // The owner uses the memory for something else.
  EXPECT_EQ(take(0, {{0, 0, 7, 50, 0, kOnes}}), Verdict::duplicate);
  EXPECT_EQ(memory_[kSlotBytes], std::byte{9});
  EXPECT_TRUE(receiver_.is_ack_due()) << "the sender must hear that it has come";
  EXPECT_EQ(arrived_.size(), 1u);
}

TEST_F(DatagramReceiverTest, SlotInUseDelaysTheNextPutUntilTheRelease) {
  EXPECT_EQ(take(0, {{0, 0, 7, 50, 0, kOnes}}), Verdict::taken);
  EXPECT_EQ(take(1, {{1, 0, 8, 50, 0, kTwos}}), Verdict::waiting);
  EXPECT_EQ(memory_[kSlotBytes], std::byte{1});
  EXPECT_EQ(take(2, {{2, 0, 9, 0, 0, {}}}), Verdict::taken) << "a bare tag writes nothing";
  EXPECT_TRUE(receiver_.release(0, 0));
  EXPECT_EQ(take(1, {{1, 0, 8, 50, 0, kTwos}}), Verdict::taken);
  EXPECT_EQ(memory_[kSlotBytes], std::byte{2});
  EXPECT_EQ(arrived_, (std::vector<uint64_t>{0, 2, 1}));
}

TEST_F(DatagramReceiverTest, WrongPiecesAreRefusedAndNothingIsWritten) {
  EXPECT_EQ(take(0, {{0, 2, 7, 50, 0, kOnes}}), Verdict::malformed) << "no such slot";
  EXPECT_EQ(take(0, {{0, 0, 7, 101, 0, kOnes}}), Verdict::malformed) << "longer than the slot";
  EXPECT_EQ(take(0, {{0, 0, 7, 50, 0, kOnes}, {1, 2, 7, 50, 0, kOnes}}), Verdict::malformed);
  EXPECT_EQ(memory_, std::vector<std::byte>(memory_.size())) << "not even the good half";
  EXPECT_EQ(take(0, {{1, 0, 7, 100, 0, kOnes}}), Verdict::taken) << "slot 0 is free again";
  EXPECT_EQ(take(1, {{1, 0, 8, 100, 50, kOnes}}), Verdict::malformed) << "another tag";
  EXPECT_EQ(take(1, {{1, 0, 7, 99, 49, kOnes}}), Verdict::malformed) << "another length";
  EXPECT_EQ(take(1, {{1, 1, 7, 100, 50, kOnes}}), Verdict::malformed) << "another slot";
  EXPECT_EQ(take(1, {{1, 0, 7, 100, 50, kOnes}}), Verdict::taken);
  EXPECT_EQ(take(2, {{1, 0, 7, 100, 50, kOnes}}), Verdict::malformed) << "it is whole";
  EXPECT_EQ(arrived_, (std::vector<uint64_t>{1}));
}

TEST_F(DatagramReceiverTest, RoomIsAnnouncedAndNeverOverrun) {
  const uint64_t limit = receiver_.ack().message_limit;
  EXPECT_EQ(limit, 8u) << "twice the puts at once";
  for (uint64_t i = 0; i < limit; ++i) EXPECT_EQ(take(i, {{i, 0, 0, 0, 0, {}}}), Verdict::taken);
  EXPECT_EQ(take(limit, {{limit, 0, 0, 0, 0, {}}}), Verdict::waiting);
  receiver_.on_polled(0);
  EXPECT_EQ(receiver_.ack().message_limit, 9u);
  EXPECT_EQ(take(limit, {{limit, 0, 0, 0, 0, {}}}), Verdict::taken);
}

TEST_F(DatagramReceiverTest, AHeldArrivalHoldsUpNothingButItsSlot) {
  EXPECT_EQ(take(0, {{0, 1, 7, 50, 0, kOnes}}), Verdict::taken);
  receiver_.on_polled(0);
  for (uint64_t i = 1; i < 1000; ++i) {
    ASSERT_EQ(take(i, {{i, 0, 7, 50, 0, kOnes}}), Verdict::taken) << i;
    receiver_.on_polled(static_cast<uint32_t>(i));
    ASSERT_TRUE(receiver_.release(0, static_cast<uint32_t>(i)));
  }
  EXPECT_EQ(take(1000, {{1000, 1, 7, 50, 0, kOnes}}), Verdict::waiting) << "its slot is in use";
  EXPECT_TRUE(receiver_.release(1, 0));
  EXPECT_FALSE(receiver_.release(1, 0)) << "once only";
  EXPECT_FALSE(receiver_.release(77, 0));
  EXPECT_EQ(take(1000, {{1000, 1, 7, 50, 0, kOnes}}), Verdict::taken);
}

TEST_F(DatagramReceiverTest, HostileSenderWritesNowhereElse) {
  base::Random random(31);
  size_t polled = 0;
  for (int i = 0; i < 50'000; ++i) {
    std::vector<Fragment> fragments;
    uint64_t message = arrived_.size() + random.below(12);
    const std::vector<std::byte> bytes(random.below(110), std::byte{0xee});
    for (uint64_t k = random.below(3); k < 3; ++k) {
      const auto length = static_cast<uint32_t>(bytes.size());
      const auto offset = static_cast<uint32_t>(random.below(40));
      const auto total = length == 0 ? 0 : offset + length + static_cast<uint32_t>(random.below(9));
      fragments.push_back({message, static_cast<uint32_t>(random.below(3)),
                           static_cast<uint32_t>(random.below(2)), total, length == 0 ? 0 : offset,
                           bytes});
      message += 1 + random.below(3);
    }
    take(random.below(300), fragments);
    for (; polled < arrived_.size(); ++polled) {
      receiver_.on_polled(static_cast<uint32_t>(arrived_[polled]));
    }
    if (i % 8 == 0 && !held_.empty()) {
      EXPECT_TRUE(
          receiver_.release(held_.back().slot, static_cast<uint32_t>(held_.back().message)));
      held_.pop_back();
    }
    ASSERT_EQ(memory_[kSlotBytes - 1], std::byte{0});
  }
  const std::set<uint64_t> unique(arrived_.begin(), arrived_.end());
  EXPECT_EQ(unique.size(), arrived_.size()) << "no message arrives twice";
  EXPECT_GT(arrived_.size(), 3u);
}

class DatagramSenderTest : public testing::Test {
 protected:
  static constexpr size_t kBodyBytes = 200;
  DatagramSenderTest()
      : data_(1000), sender_(16, kBodyBytes, RetransmitTimer(2'000'000, 200'000, 100'000'000)) {}

  void put(uint32_t slot, uint32_t bytes) {
    ASSERT_TRUE(sender_.can_take());
    sender_.take({.slot = slot, .bytes = bytes, .data = data_.data(), .cookie = cookie_++});
  }
  // Sends all that may go; returns packet numbers.
  std::vector<uint64_t> send(Instant now) {
    std::vector<uint64_t> numbers;
    std::vector<std::byte> room(kBodyBytes);
    while (sender_.wants_to_send()) {
      base::ByteWriter writer(room);
      DatagramSender::Tail tail;
      numbers.push_back(sender_.write_next(writer, &tail));
      if (lend_ && tail.loan != nullptr) loans_.push_back(tail.loan);
      if (lend_ && tail.loan != nullptr) ++tail.loan->count;
    }
    sender_.stamp(now);
    return numbers;
  }
  bool ack(uint64_t next, Instant now, std::array<uint64_t, 4> received = {},
           bool is_marked = false) {
    const Ack news{
        .next = next, .message_limit = 1000, .is_marked = is_marked, .received = received};
    return sender_.on_ack(news, now, [this](uint64_t cookie) { finished_.push_back(cookie); });
  }
  std::vector<std::byte> data_;
  DatagramSender sender_;
  uint64_t cookie_ = 0;
  bool lend_ = false;  // Each packet's tail, until somebody counts the loan down.
  std::vector<WireLoan*> loans_;
  std::vector<uint64_t> finished_;
};

TEST_F(DatagramSenderTest, SmallPutsShareAPacketAndLargeOnesAreSplit) {
  for (uint32_t slot = 0; slot < 5; ++slot) put(slot, 10);
  EXPECT_EQ(send({0}).size(), 1u);
  put(5, 1000);
  EXPECT_EQ(send({0}).size(), 6u) << "172 bytes a packet";
}

TEST_F(DatagramSenderTest, TwoPutsToOneSlotNeverShareAPacket) {
  put(3, 10);
  put(3, 10);
  EXPECT_EQ(send({0}).size(), 2u);
}

TEST_F(DatagramSenderTest, PutIsFinishedWhenAllItsPacketsAre) {
  put(0, 300);
  put(1, 10);
  EXPECT_EQ(send({0}).size(), 2u);  // [300: first part], [300: rest, 10].
  EXPECT_TRUE(ack(0, {1000}, {2}));
  EXPECT_EQ(finished_, (std::vector<uint64_t>{1}));
  EXPECT_TRUE(ack(2, {2000}));
  EXPECT_EQ(finished_, (std::vector<uint64_t>{1, 0}));
  EXPECT_TRUE(sender_.is_idle());
  EXPECT_TRUE(ack(2, {3000})) << "old news";
  EXPECT_EQ(finished_.size(), 2u);
}

TEST_F(DatagramSenderTest, LentPutIsFinishedWhenItsLastLoanHasEnded) {
  lend_ = true;
  const auto reclaim = [this] {
    sender_.on_reclaimed([this](uint64_t cookie) { finished_.push_back(cookie); });
  };
  put(0, 300);
  put(1, 0);
  EXPECT_EQ(send({0}).size(), 2u);  // The second ends in a bare tag, which is nobody's bytes.
  ASSERT_EQ(loans_.size(), 1u);
  sender_.expire({2'000'000});
  EXPECT_EQ(send({2'000'000}).size(), 2u) << "the repeat is lent, too";
  ASSERT_EQ(loans_.size(), 2u);
  EXPECT_TRUE(ack(2, {2'100'000}));
  EXPECT_EQ(finished_, (std::vector<uint64_t>{1}));
  EXPECT_TRUE(sender_.is_waiting_for_loans());
  --loans_[0]->count;
  reclaim();
  EXPECT_EQ(finished_, (std::vector<uint64_t>{1})) << "one packet is still there";
  EXPECT_TRUE(sender_.is_lending());
  --loans_[1]->count;
  reclaim();
  EXPECT_EQ(finished_, (std::vector<uint64_t>{1, 0}));
  EXPECT_FALSE(sender_.is_waiting_for_loans());
  EXPECT_FALSE(sender_.is_lending());
}

TEST_F(DatagramSenderTest, ImpossibleAckIsRefused) {
  put(0, 10);
  send({0});
  EXPECT_FALSE(ack(2, {1000}));
  EXPECT_TRUE(finished_.empty());
}

TEST_F(DatagramSenderTest, TimeoutDoublesUntilSomethingComes) {
  put(0, 10);
  EXPECT_EQ(sender_.deadline(), Instant{INT64_MAX});
  send({0});
  EXPECT_EQ(sender_.deadline(), Instant{2'000'000});
  sender_.expire({1'999'999});
  EXPECT_FALSE(sender_.wants_to_send());
  sender_.expire({2'000'000});
  EXPECT_EQ(send({2'000'000}), (std::vector<uint64_t>{0}));
  EXPECT_EQ(sender_.deadline(), Instant{2'000'000 + 4'000'000});
  EXPECT_EQ(sender_.repeat_count(), 1u);
  EXPECT_TRUE(ack(1, {2'100'000}));
  put(1, 10);
  send({3'000'000});
  EXPECT_EQ(sender_.deadline(), Instant{3'000'000 + 2'000'000})
      << "a packet sent twice measures nothing";
}

TEST_F(DatagramSenderTest, TimeoutFollowsTheRoundTripDownToTheFloor) {
  for (uint32_t i = 0; i < 40; ++i) {
    put(0, 10);
    send({i * 1'000'000});
    EXPECT_TRUE(ack(i + 1, {i * 1'000'000 + (i < 20 ? 300'000 : 1'000)}));
    sender_.on_sent_polled();
    if (i < 20) {
      EXPECT_EQ(sender_.timer().timeout_ns(), 4 * 300'000);
    }
  }
  EXPECT_LT(sender_.timer().smoothed_ns(), 50'000);
  EXPECT_EQ(sender_.timer().timeout_ns(), 200'000);
}

TEST_F(DatagramSenderTest, OvertakenPacketIsRepeatedWithoutATimer) {
  for (uint32_t slot = 0; slot < 15; ++slot) put(slot, 172);
  EXPECT_EQ(send({0}).size(), 15u);
  EXPECT_TRUE(ack(0, {1000}, {0x7fe}));  // 1..10 have come.
  EXPECT_TRUE(send({1000}).empty()) << "ten may overtake";
  EXPECT_TRUE(ack(0, {2000}, {0xffe}));
  EXPECT_EQ(send({2000}), (std::vector<uint64_t>{0}));
}

TEST_F(DatagramSenderTest, ALateAckOfTheFirstCopyTakesNothingElseForLost) {
  for (uint32_t slot = 0; slot < 15; ++slot) put(slot, 172);
  EXPECT_EQ(send({0}).size(), 15u);
  EXPECT_TRUE(ack(15, {1000}));
  for (int i = 0; i < 15; ++i) sender_.on_sent_polled();
  for (uint32_t slot = 0; slot < 5; ++slot) put(slot, 1000);
  const size_t flying = send({10'000}).size();
  ASSERT_GE(flying, 25u);
  sender_.expire({10'000 + 200'000});
  const std::vector<uint64_t> again = send({10'000 + 200'000});
  ASSERT_GE(again.size(), 13u);
  const uint32_t window = sender_.window_packets();
  EXPECT_TRUE(ack(15, {211'000}, {uint64_t{1} << 12})) << "of the first copy of the thirteenth";
  EXPECT_GE(sender_.window_packets(), window);
}

TEST_F(DatagramSenderTest, MarkShrinksTheWindowOncePerRoundTrip) {
  for (uint32_t slot = 0; slot < 8; ++slot) put(slot, 1000);
  const uint32_t before = sender_.window_packets();
  send({0});
  EXPECT_TRUE(ack(4, {1000}, {}, true));
  const uint32_t after = sender_.window_packets();
  EXPECT_LT(after, before + 4) << "4 were acknowledged";
  EXPECT_TRUE(ack(5, {2000}, {}, true));
  EXPECT_GE(sender_.window_packets(), after) << "the news of the same round trip";
}

TEST(CongestionWindowTest, GrowsByOneARoundTripAndHalvesOncePerLossOfAWindow) {
  CongestionWindow window(4, 64);
  window.on_acked(4, 4);
  EXPECT_EQ(window.packets(), 8u) << "doubles until the first loss";
  window.on_lost(0, 8);
  EXPECT_EQ(window.packets(), 4u);
  window.on_lost(5, 9);
  EXPECT_EQ(window.packets(), 4u) << "same window, same loss";
  for (int i = 0; i < 5; ++i) window.on_acked(1, 4);
  EXPECT_EQ(window.packets(), 5u);
  for (uint64_t i = 0; i < 10; ++i) window.on_lost(100 * (i + 1), 100 * (i + 1) + 1);
  EXPECT_EQ(window.packets(), 2u);
  window.on_acked(100'000, 2);
  EXPECT_EQ(window.packets(), 64u);
}

TEST(CongestionWindowTest, DoesNotGrowWhereItIsNotUsed) {
  CongestionWindow window(16, 64);
  for (int i = 0; i < 100; ++i) window.on_acked(1, 7);
  EXPECT_EQ(window.packets(), 16u) << "a round of small tensors says nothing of a full window";
  window.on_acked(1, 8);
  EXPECT_EQ(window.packets(), 17u);
}

}  // namespace
}  // namespace phub::transport
