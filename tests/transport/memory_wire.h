// A wire in plain memory, without faults and without allocation: what is sent can be received.
#pragma once

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
      std::array<std::byte, kMtu> data;
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

  MemoryWire(Hub& hub, uint32_t index) : hub_(hub), index_(index) {
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
    std::memcpy(item.data.data(), room_.data(), bytes);
  }
  void flush() override {}
  size_t receive(std::span<WirePacket> packets) override {
    Queue& queue = hub_.queues[index_];
    size_t count = 0;
    // Taken items stay whole until this queue is filled once round.
    for (; count < packets.size() && queue.head < queue.tail; ++count) {
      const Queue::Item& item = queue.at(queue.head++);
      packets[count] = {item.from, std::span(item.data).first(item.bytes)};
    }
    return count;
  }
  int fd() const override { return -1; }
  bool arm() override { return hub_.queues[index_].head == hub_.queues[index_].tail; }
  void disarm() override {}

 private:
  Hub& hub_;
  uint32_t index_;
  WireAddress address_;
  std::array<std::byte, kMtu> room_;
};

}  // namespace phub::transport
