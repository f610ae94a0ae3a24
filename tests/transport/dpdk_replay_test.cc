// Goal: who records packets of the wire and sends them again, as they were or damaged, on the live
// link or after it, changes nothing: they are counted and dropped, and the link goes on.
// Method: hub and worker over rings; a call of DPDK's at the hub's device copies the frames of a
// first exchange, and the worker's device sends the copies; the fuzzer's corpus, too.
#include <gtest/gtest.h>
#include <rte_ethdev.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "tests/transport/dpdk_support.h"
#include "transport/datagram.h"

namespace phub::transport {
namespace {

constexpr uint32_t kSlots = 4;
constexpr uint32_t kBytes = 20'000;  // Three frames of an MTU of 9000.

using Frames = std::vector<std::string>;

uint16_t record(uint16_t, uint16_t, rte_mbuf** packets, uint16_t count, uint16_t, void* frames) {
  for (uint16_t i = 0; i < count; ++i) {
    static_cast<Frames*>(frames)->emplace_back(rte_pktmbuf_mtod(packets[i], const char*),
                                               packets[i]->data_len);
  }
  return count;
}

struct End {
  std::unique_ptr<DatagramFabric> fabric;
  const dpdk::DpdkWire* wire = nullptr;
  std::span<std::byte> memory;
  LinkId link{};
};

class DpdkReplayTest : public testing::Test {
 protected:
  DpdkReplayTest() {
    const dpdk::Devices& devices = dpdk::ring_devices();  // Starts DPDK.
    pool_ = *dpdk::take_pool({.buffer_count = 255, .buffer_bytes = 10'240, .has_cache = false});
    make(&hub_, devices.hub, 1);
    make(&worker_, {devices.workers[0]}, 0);
    join();
    PHUB_CHECK(::rte_eth_dev_get_port_by_name(devices.hub[0].c_str(), &hub_port_) == 0);
    PHUB_CHECK(::rte_eth_dev_get_port_by_name(devices.workers[0].c_str(), &worker_port_) == 0);
  }

  static void make(End* end, const std::vector<std::string>& devices, uint32_t shard_count) {
    auto wire = dpdk::make_test_wire(devices, "", 0, shard_count);
    end->wire = wire.get();
    end->fabric = std::make_unique<DatagramFabric>(std::move(wire), DatagramOptions());
    end->memory = *end->fabric->allocate(size_t{2} * kSlots * kBytes);
  }
  void join() {
    const auto options_of = [](const End& end) {
      LinkOptions options;
      for (uint32_t i = 0; i < kSlots; ++i) {
        options.slots.push_back({end.memory.data() + size_t{i} * kBytes, kBytes});
      }
      options.peer_slot_count = options.acceptor_puts_max = options.connector_puts_max = kSlots;
      return options;
    };
    Bootstrap offer, answer;
    hub_.link = *hub_.fabric->open(options_of(hub_), &offer);
    worker_.link = *worker_.fabric->connect(options_of(worker_), std::move(offer), &answer);
    ASSERT_TRUE(hub_.fabric->accept(hub_.link, std::move(answer)).ok());
  }

  // The worker fills every slot once; what arrives is what was sent.
  void exchange(uint8_t value) {
    std::byte* const source = worker_.memory.data() + size_t{kSlots} * kBytes;
    std::memset(source, value, kBytes);
    for (uint32_t slot = 0; slot < kSlots; ++slot) {
      const Put put{
          .link = worker_.link, .slot = slot, .tag = slot, .bytes = kBytes, .data = source};
      ASSERT_EQ(worker_.fabric->put({&put, 1}), 1u);
    }
    uint32_t arrived = 0, sent = 0;
    const base::Instant end = base::now() + std::chrono::seconds(20);
    while ((arrived < kSlots || sent < kSlots) && base::now() < end) {
      std::array<Event, 8> events;
      size_t count = hub_.fabric->poll(base::now(), events);
      for (size_t i = 0; i < count; ++i, ++arrived) {
        ASSERT_EQ(events[i].kind, EventKind::arrived);
        ASSERT_EQ(events[i].bytes, kBytes);
        ASSERT_EQ(std::memcmp(events[i].data, source, kBytes), 0);
        hub_.fabric->release(events[i]);
      }
      count = worker_.fabric->poll(base::now(), events);
      for (size_t i = 0; i < count; ++i, ++sent) ASSERT_EQ(events[i].kind, EventKind::sent);
    }
    ASSERT_EQ(arrived, kSlots);
    ASSERT_EQ(sent, kSlots);
  }
  // The frames with bytes of puts in them: others are answered to, not counted.
  Frames record_exchange() {
    Frames all, data;
    const auto* const call = ::rte_eth_add_rx_callback(hub_port_, 0, record, &all);
    PHUB_CHECK(call != nullptr);
    exchange(1);
    PHUB_CHECK(::rte_eth_remove_rx_callback(hub_port_, 0, call) == 0);
    for (std::string& frame : all) {
      if (frame.size() > 1000) data.push_back(std::move(frame));
    }
    return data;
  }

  // How many of the frames the hub counted as nothing to take. No event comes of them.
  uint64_t replay(const Frames& frames) {
    const uint64_t before = dropped();
    for (const std::string& frame : frames) {
      rte_mbuf* packet = ::rte_pktmbuf_alloc(pool_.get());
      PHUB_CHECK(packet != nullptr);
      std::memcpy(::rte_pktmbuf_append(packet, static_cast<uint16_t>(frame.size())), frame.data(),
                  frame.size());
      PHUB_CHECK(::rte_eth_tx_burst(worker_port_, 0, &packet, 1) == 1);
      std::array<Event, 8> events;
      EXPECT_EQ(hub_.fabric->poll(base::now(), events), 0u);
      EXPECT_EQ(worker_.fabric->poll(base::now(), events), 0u);
    }
    return dropped() - before;
  }
  uint64_t dropped() const {
    const DatagramCounters counters = hub_.fabric->counters();
    return counters.packets_duplicate + counters.packets_stale + counters.packets_malformed +
           hub_.wire->counters().malformed + hub_.wire->counters().foreign;
  }

  dpdk::Pool pool_;
  End hub_, worker_;
  uint16_t hub_port_ = 0, worker_port_ = 0;
};

TEST_F(DpdkReplayTest, RecordedPacketsOfTheLiveLinkChangeNothing) {
  const Frames frames = record_exchange();
  ASSERT_GE(frames.size(), 2 * kSlots);
  const uint64_t before = hub_.fabric->counters().packets_duplicate;
  EXPECT_EQ(replay(frames), frames.size());
  EXPECT_EQ(hub_.fabric->counters().packets_duplicate - before, frames.size());
  exchange(2);
}

TEST_F(DpdkReplayTest, RecordedPacketsOfAFormerLinkChangeNothing) {
  const Frames frames = record_exchange();
  hub_.fabric->close(hub_.link);
  worker_.fabric->close(worker_.link);
  join();
  const uint64_t before = hub_.fabric->counters().packets_stale;
  EXPECT_GE(replay(frames), frames.size());  // The former link's goodbye may be among them.
  EXPECT_GE(hub_.fabric->counters().packets_stale - before, frames.size());
  exchange(2);
}

TEST_F(DpdkReplayTest, DamagedPacketsChangeNothing) {
  const Frames frames = record_exchange();
  for (size_t bit = 0; bit < 8 * 200; bit += 7) {  // All heads, and some of what follows them.
    SCOPED_TRACE("bit " + std::to_string(bit));
    std::string damaged = frames[bit % frames.size()];
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    ASSERT_EQ(replay({damaged}), 1u);
  }
  exchange(2);
}

TEST_F(DpdkReplayTest, PacketsOfOthersChangeNothing) {
  exchange(1);
  Frames frames;
  for (const auto& file : std::filesystem::directory_iterator(PHUB_TEST_FRAMES)) {
    std::ifstream stream(file.path(), std::ios::binary);
    frames.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  }
  ASSERT_GE(frames.size(), 10u);
  EXPECT_EQ(replay(frames), frames.size());
  exchange(2);
}

}  // namespace
}  // namespace phub::transport
