// A wire in plain memory, without faults and without allocation: what is sent can be received.
//
// If it gathers, a packet's lent end is read when it is received and not before, and given back
// when the sender asks, as a network card would. A sender that changes lent bytes is found out.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "transport/wire.h"

namespace phub::transport {

class MemoryWire final : public Wire {
 public:
  static constexpr size_t kMtu = 1500;
  static constexpr size_t kQueuePackets = 1024;

  struct Queue {
    struct Item {
      WireAddress from;
      size_t bytes = 0;
      std::array<std::byte, kMtu> data;      // Of lent bytes: what they were.
      std::span<const std::byte> lent = {};  // They are the packet's end.
    };
    std::vector<Item> items{kQueuePackets};
    size_t head = 0;  // Items ever taken.
    size_t tail = 0;  // Items ever put.
    Item& at(size_t i) { return items[i % kQueuePackets]; }
  };
  struct Hub {
    explicit Hub(size_t count) : queues(count) {}
    std::vector<Queue> queues;
  };

  MemoryWire(Hub& hub, uint32_t index, bool gathers = false)
      : hub_(hub), index_(index), gathers_(gathers) {
    loans_.reserve(kQueuePackets * hub.queues.size());
    address_.bytes[0] = static_cast<std::byte>(index);
  }
  std::string_view name() const override { return "memory"; }
  size_t mtu() const override { return kMtu; }
  WireAddress address() const override { return address_; }
  std::span<std::byte> reserve() override { return room_; }
  void send(const WireAddress& to, size_t bytes) override {
    const auto index = static_cast<size_t>(to.bytes[0]);
    if (index >= hub_.queues.size()) return;
    Queue& queue = hub_.queues[index];
    if (queue.tail - queue.head == kQueuePackets) return;  // Dropped, as any wire may.
    Queue::Item& item = queue.at(queue.tail++);
    item.from = address_;
    item.bytes = bytes;
    item.lent = {};
    std::memcpy(item.data.data(), room_.data(), bytes);
  }
  bool can_gather(std::span<const std::byte>) const override { return gathers_; }
  void send_gathered(const WireAddress& to, size_t bytes, std::span<const std::byte> piece,
                     WireLoan& loan) override {
    std::memcpy(room_.data() + bytes, piece.data(), piece.size());
    Queue& queue = hub_.queues[static_cast<size_t>(to.bytes[0])];
    const size_t number = queue.tail;
    send(to, bytes + piece.size());
    if (queue.tail == number) return;
    queue.at(number).lent = piece;
    loans_.push_back({&queue, number, &loan});
    ++loan.count;
  }
  // Of packets that were received; none while keeps_loans.
  void reclaim() override {
    if (keeps_loans) return;
    std::erase_if(loans_, [](const Loan& one) {
      if (one.number >= one.queue->head) return false;
      --one.loan->count;
      return true;
    });
  }
  void recall() override {
    for (const Loan& one : loans_) {
      if (one.number >= one.queue->head) take_lent(one.queue->at(one.number));
      --one.loan->count;
    }
    loans_.clear();
  }
  bool keeps_loans = false;
  void flush() override {}
  size_t receive(std::span<WirePacket> packets) override {
    Queue& queue = hub_.queues[index_];
    size_t count = 0;
    // Taken items stay whole until this queue is filled once round.
    for (; count < packets.size() && queue.head < queue.tail; ++count) {
      Queue::Item& item = queue.at(queue.head++);
      take_lent(item);
      packets[count] = {item.from, std::span(item.data).first(item.bytes)};
    }
    return count;
  }
  int fd() const override { return -1; }
  bool arm() override { return hub_.queues[index_].head == hub_.queues[index_].tail; }
  void disarm() override {}

 private:
  struct Loan {
    Queue* queue = nullptr;
    size_t number = 0;
    WireLoan* loan = nullptr;
  };
  static void take_lent(Queue::Item& item) {
    std::byte* const copy = item.data.data() + item.bytes - item.lent.size();
    EXPECT_TRUE(std::equal(item.lent.begin(), item.lent.end(), copy)) << "changed while lent";
    if (!item.lent.empty()) std::memcpy(copy, item.lent.data(), item.lent.size());
    item.lent = {};
  }

  Hub& hub_;
  uint32_t index_;
  bool gathers_;
  std::vector<Loan> loans_;
  WireAddress address_;
  std::array<std::byte, kMtu> room_;
};

}  // namespace phub::transport
