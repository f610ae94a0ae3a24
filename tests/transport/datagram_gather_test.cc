// Goal: what a wire takes from its place belongs to it until it says so: `sent` waits for that, and
// closing a link gets it back first.
// Method: two fabrics over memory wires that read lent bytes when a packet is received and give
// them back when they are told to.
#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "tests/transport/memory_wire.h"
#include "transport/datagram.h"

namespace phub::transport {
namespace {

constexpr uint32_t kBytes = 4'000;  // Three packets.

class DatagramGatherTest : public testing::Test {
 protected:
  DatagramGatherTest() {
    auto wire = std::make_unique<MemoryWire>(hub_, 0, true);
    wire_ = wire.get();
    sender_ = std::make_unique<DatagramFabric>(std::move(wire), DatagramOptions{.seed = 1});
    receiver_ = std::make_unique<DatagramFabric>(std::make_unique<MemoryWire>(hub_, 1),
                                                 DatagramOptions{.seed = 2});
    source_ = *sender_->allocate(kBytes);
    slot_ = *receiver_->allocate(kBytes);
    LinkOptions options;
    options.peer_slot_count = 1;
    options.acceptor_puts_max = options.connector_puts_max = 2;
    Bootstrap offer, answer;
    options.slots = {{source_.data(), kBytes}};  // Nothing is put there.
    link_ = *sender_->open(options, &offer);
    options.slots = {{slot_.data(), kBytes}};
    EXPECT_TRUE(receiver_->connect(options, std::move(offer), &answer).ok());
    EXPECT_TRUE(sender_->accept(link_, std::move(answer)).ok());
    std::memset(source_.data(), 7, kBytes);
    const Put put{.link = link_, .bytes = kBytes, .data = source_.data(), .cookie = 9};
    EXPECT_EQ(sender_->put({&put, 1}), 1u);
  }
  // How many events of this kind come within a few polls.
  size_t poll(DatagramFabric& fabric, EventKind kind) {
    std::array<Event, 8> events;
    size_t found = 0;
    for (int i = 0; i < 5; ++i) {
      now_.ns += 10'000;
      const size_t count = fabric.poll(now_, events);
      for (size_t k = 0; k < count; ++k) found += events[k].kind == kind ? 1 : 0;
    }
    return found;
  }

  MemoryWire::Hub hub_{2};
  MemoryWire* wire_ = nullptr;
  std::unique_ptr<DatagramFabric> sender_;
  std::unique_ptr<DatagramFabric> receiver_;
  std::span<std::byte> source_;
  std::span<std::byte> slot_;
  LinkId link_{0};
  Instant now_{0};
};

TEST_F(DatagramGatherTest, BytesComeFromTheirPlaceAndSmallEndsAreCopied) {
  EXPECT_EQ(sender_->counters().packets_sent, 3u);
  EXPECT_EQ(sender_->counters().packets_gathered, 3u);
  EXPECT_EQ(poll(*receiver_, EventKind::arrived), 1u);
  EXPECT_EQ(std::memcmp(slot_.data(), source_.data(), kBytes), 0);
  const Put small{.link = link_, .bytes = 500, .data = source_.data()};
  EXPECT_EQ(sender_->put({&small, 1}), 1u);
  EXPECT_EQ(sender_->counters().packets_sent, 4u);
  EXPECT_EQ(sender_->counters().packets_gathered, 3u);
}

TEST_F(DatagramGatherTest, SentWaitsUntilTheWireHasLetGo) {
  wire_->keeps_loans = true;
  EXPECT_EQ(poll(*receiver_, EventKind::arrived), 1u);
  EXPECT_EQ(poll(*sender_, EventKind::sent), 0u) << "acknowledged, but still lent";
  EXPECT_LE(sender_->next_deadline(), now_ + std::chrono::milliseconds(1))
      << "nothing will wake who waits for it";
  wire_->keeps_loans = false;
  EXPECT_EQ(poll(*sender_, EventKind::sent), 1u);
}

TEST_F(DatagramGatherTest, ClosingALinkGetsItsMemoryBackFirst) {
  sender_->close(link_);
  std::memset(source_.data(), 8, kBytes);  // It is the caller's again, with packets on their way.
  poll(*receiver_, EventKind::arrived);
  for (const std::byte one : slot_) ASSERT_NE(one, std::byte{8});
}

TEST_F(DatagramGatherTest, EndOfTheFabricGetsAllMemoryBackFirst) {
  sender_.reset();  // And its memory with it.
  poll(*receiver_, EventKind::arrived);
  EXPECT_EQ(slot_[0], std::byte{7});
}

}  // namespace
}  // namespace phub::transport
