// The two ends of a verbs link in one process, on the RDMA devices of this machine, and rounds of
// puts between them of which every arrival is counted.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <thread>

#include "base/clock.h"
#include "transport/verbs.h"

namespace phub::transport {

inline constexpr uint32_t kSlots = 16;
inline constexpr uint32_t kSlotBytes = 2048;

// One end of one link.
struct End {
  std::unique_ptr<Fabric> fabric;
  LinkId link{0};
  std::span<std::byte> slots;
  std::span<std::byte> source;
  uint32_t sent = 0;
  uint32_t lost = 0;
  std::map<uint32_t, uint32_t> arrived;  // By tag: how often.
  int64_t ahead_ns = 0;                  // Its clock.
  bool is_exact = true;                  // Every first arrival had its put's bytes.

  VerbsFabric& verbs() { return static_cast<VerbsFabric&>(*fabric); }
  LinkOptions options(uint32_t rail_count) {
    slots = *fabric->allocate(kSlots * kSlotBytes);
    source = *fabric->allocate(kSlots * kSlotBytes);
    LinkOptions made;
    for (uint32_t i = 0; i < kSlots; ++i) {
      made.slots.push_back({slots.data() + i * kSlotBytes, kSlotBytes});
      made.rails.push_back(static_cast<uint8_t>(i % rail_count));
    }
    made.peer_slot_count = kSlots;
    made.acceptor_puts_max = made.connector_puts_max = kSlots;
    made.tag_slot_mask = kSlots - 1;
    made.peer = "the other end";
    return made;
  }
  void put(uint32_t tag) {
    std::byte* const data = source.data() + tag % kSlots * kSlotBytes;
    std::memset(data, static_cast<int>(tag & 0xff), kSlotBytes);
    const Put one = {link, tag % kSlots, tag, kSlotBytes, data, tag};
    EXPECT_EQ(fabric->put({&one, 1}), 1u);
  }
  void poll() {
    std::array<Event, 16> events;
    const size_t count = fabric->poll({base::now().ns + ahead_ns}, events);
    for (const Event& event : std::span(events).first(count)) {
      if (event.kind == EventKind::sent) ++sent;
      if (event.kind == EventKind::lost) ++lost;
      if (event.kind != EventKind::arrived) continue;
      if (++arrived[event.tag] > 1) continue;
      for (uint32_t i = 0; i < event.bytes; ++i) {
        is_exact = is_exact && event.data[i] == static_cast<std::byte>(event.tag & 0xff);
      }
      fabric->release(event);
    }
  }
};

class VerbsEndsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (Status status = VerbsLibrary::load(); !status.ok()) {
      GTEST_SKIP() << "because " << status.message();
    }
    auto names = choose_verbs_devices({});
    if (!names.ok()) GTEST_SKIP() << "because " << names.status().message();
    names_ = *names;
  }

  void start(uint32_t rail_count, uint32_t queue_pairs = 1) {
    rail_count_ = rail_count;
    for (End* const end : {&hub_, &worker_}) {
      config::RdmaOptions options;
      for (uint32_t i = 0; i < rail_count; ++i) {
        options.devices.push_back(names_[(i + (end == &worker_ ? 1 : 0)) % names_.size()]);
      }
      options.queue_pairs = queue_pairs;
      options.retries = 3;
      auto fabric = VerbsFabric::make(options);
      ASSERT_TRUE(fabric.ok()) << fabric.status().message();
      end->fabric = std::move(fabric).value();
    }
    Bootstrap offer, answer;
    auto opened = hub_.fabric->open(hub_.options(rail_count), &offer);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    auto connected =
        worker_.fabric->connect(worker_.options(rail_count), std::move(offer), &answer);
    ASSERT_TRUE(connected.ok()) << connected.status().message();
    const Status accepted = hub_.fabric->accept(*opened, std::move(answer));
    ASSERT_TRUE(accepted.ok()) << accepted.message();
    hub_.link = *opened;
    worker_.link = *connected;
  }

  void step() {
    hub_.poll();
    worker_.poll();
    std::this_thread::yield();
  }
  bool until(const std::function<bool()>& is_done) {
    const Instant end = base::now() + std::chrono::seconds(20);
    while (!is_done()) {
      if (base::now() > end) return false;
      step();
    }
    return true;
  }
  // Both ways, round after round: every slot once a round, its next put after its last arrived.
  void exchange(uint32_t rounds, const std::function<void(uint32_t)>& in_round) {
    for (uint32_t round = 0; round < rounds; ++round) {
      for (uint32_t slot = 0; slot < kSlots; ++slot) {
        hub_.put(next_tag_ + slot);
        worker_.put(next_tag_ + slot);
        if (slot == kSlots / 2) in_round(round);
      }
      next_tag_ += kSlots;
      ASSERT_TRUE(until([&] {
        return hub_.arrived.size() == next_tag_ && worker_.arrived.size() == next_tag_ &&
               hub_.sent == next_tag_ && worker_.sent == next_tag_;
      })) << "round "
          << round << ": arrived " << hub_.arrived.size() << " and " << worker_.arrived.size()
          << ", sent " << hub_.sent << " and " << worker_.sent << " of " << next_tag_ << "; lost "
          << hub_.lost << " and " << worker_.lost << " "
          << (hub_.lost ? hub_.fabric->lost_reason(hub_.link) : "")
          << (worker_.lost ? worker_.fabric->lost_reason(worker_.link) : "");
    }
  }
  void expect_all_once() {
    for (End* const end : {&hub_, &worker_}) {
      EXPECT_TRUE(end->is_exact);
      EXPECT_EQ(end->lost, 0u) << (end->lost ? end->fabric->lost_reason(end->link) : "");
      for (const auto& [tag, count] : end->arrived) EXPECT_EQ(count, 1u) << tag;
    }
  }

  std::vector<std::string> names_;
  uint32_t rail_count_ = 1;
  uint32_t next_tag_ = 0;
  End hub_;
  End worker_;
};

}  // namespace phub::transport
