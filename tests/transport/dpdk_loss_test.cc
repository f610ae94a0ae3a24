// Goal: over real devices, too, every sum is exact whatever the network loses, doubles or reorders,
// nothing hangs, and strangers' packets are counted and dropped.
// Method: a hub that adds what two workers push and answers with the sum, over memif with a lossy
// wire at every end, 100 seeds at each rate of loss; frames by hand.
#include <gtest/gtest.h>
#include <rte_ethdev.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <map>

#include "base/check.h"
#include "tests/transport/dpdk_support.h"
#include "tests/transport/lossy_wire.h"
#include "transport/datagram.h"

namespace phub::transport {
namespace {

constexpr uint32_t kWorkers = 2;
constexpr uint32_t kChunks = 8;
constexpr uint32_t kFloats = 5'000;  // Three frames a chunk.
constexpr uint32_t kBytes = kFloats * sizeof(float);
constexpr uint32_t kRounds = 3;

float gradient(uint32_t worker, uint32_t round, uint32_t chunk, uint32_t i) {
  return static_cast<float>((worker + 1) * ((i + chunk + 7 * round) % 1'000));
}

struct End {
  std::unique_ptr<DatagramFabric> fabric;
  std::vector<LinkId> links;  // The hub's: one for each worker.
  std::span<std::byte> memory;
  std::vector<Put> waiting;  // The fabric is full.
  float* slot(uint32_t index) const {
    return reinterpret_cast<float*>(memory.data() + size_t{index} * kBytes);
  }
};

class Exchange {
 public:
  Exchange(uint64_t seed, const WireFaults& faults, bool gathers = false) {
    const dpdk::Devices& devices = dpdk::memif_devices();
    const auto make = [&](const std::vector<std::string>& names, uint32_t shards, uint64_t end) {
      auto wire = std::make_unique<LossyWire>(dpdk::make_test_wire(names, "", 0, shards, gathers),
                                              seed * 10 + end, faults);
      End made;
      made.fabric = std::make_unique<DatagramFabric>(std::move(wire), DatagramOptions());
      made.memory = *made.fabric->allocate(size_t{kBytes} * kChunks * (kRounds + 1));
      return made;
    };
    hub_ = make(devices.hub, 1, 0);
    for (uint32_t i = 0; i < kWorkers; ++i) {
      workers_.push_back(make({devices.workers[i]}, 0, 1 + i));
      join(i);
    }
  }

  // False: it came to no end.
  bool run() {
    for (uint32_t i = 0; i < kWorkers; ++i) push_round(i);
    const base::Instant start = base::now();
    while (done_ < kWorkers * kChunks * kRounds) {
      poll_hub();
      for (uint32_t i = 0; i < kWorkers; ++i) poll_worker(i);
      ::sched_yield();
      if (base::now() - start > std::chrono::seconds(30)) return false;
    }
    return true;
  }

  const DatagramFabric& worker(uint32_t i) const { return *workers_[i].fabric; }

 private:
  void join(uint32_t worker) {
    const auto options = [](const End& end, uint32_t first) {
      LinkOptions made;
      for (uint32_t i = 0; i < kChunks; ++i) {
        made.slots.push_back({reinterpret_cast<std::byte*>(end.slot(first + i)), kBytes});
      }
      made.peer_slot_count = made.acceptor_puts_max = made.connector_puts_max = kChunks;
      return made;
    };
    Bootstrap offer, answer;
    hub_.links.push_back(*hub_.fabric->open(options(hub_, worker * kChunks), &offer));
    End& end = workers_[worker];
    end.links.push_back(*end.fabric->connect(options(end, 0), std::move(offer), &answer));
    ASSERT_TRUE(hub_.fabric->accept(hub_.links.back(), std::move(answer)).ok());
  }
  static void put(End& end, LinkId link, uint32_t slot, uint32_t tag, const float* data) {
    const Put one{.link = link,
                  .slot = slot,
                  .tag = tag,
                  .bytes = kBytes,
                  .data = reinterpret_cast<const std::byte*>(data)};
    end.waiting.push_back(one);
    put_waiting(end);
  }
  static void put_waiting(End& end) {
    const auto taken = static_cast<long>(end.fabric->put(end.waiting));
    end.waiting.erase(end.waiting.begin(), end.waiting.begin() + taken);
  }
  void push_chunk(uint32_t worker, uint32_t round, uint32_t chunk) {
    float* const data = workers_[worker].slot((1 + round) * kChunks + chunk);
    for (uint32_t i = 0; i < kFloats; ++i) data[i] = gradient(worker, round, chunk, i);
    put(workers_[worker], workers_[worker].links[0], chunk, round * kChunks + chunk, data);
  }
  void push_round(uint32_t worker) {
    for (uint32_t chunk = 0; chunk < kChunks; ++chunk) push_chunk(worker, 0, chunk);
  }

  void poll_hub() {
    std::array<Event, 8> events;
    const size_t count = hub_.fabric->poll(base::now(), events);
    put_waiting(hub_);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_NE(events[i].kind, EventKind::lost) << hub_.fabric->lost_reason(events[i].link);
      if (events[i].kind != EventKind::arrived) continue;
      std::vector<Event>& arrived = arrived_[events[i].tag];
      arrived.push_back(events[i]);
      if (arrived.size() == kWorkers) answer(events[i].tag, arrived);
    }
  }
  void answer(uint32_t tag, const std::vector<Event>& arrived) {
    const uint32_t chunk = tag % kChunks;
    // Results stay to the end: what is put is borrowed until it is sent.
    float* const sum = results_.emplace_back(kFloats).data();
    for (const Event& event : arrived) {
      const float* const from = reinterpret_cast<const float*>(event.data);
      for (uint32_t i = 0; i < kFloats; ++i) sum[i] += from[i];
    }
    for (const Event& event : arrived) hub_.fabric->release(event);
    for (uint32_t i = 0; i < kWorkers; ++i) put(hub_, hub_.links[i], chunk, tag, sum);
  }
  void poll_worker(uint32_t worker) {
    std::array<Event, 8> events;
    End& end = workers_[worker];
    const size_t count = end.fabric->poll(base::now(), events);
    put_waiting(end);
    for (size_t k = 0; k < count; ++k) {
      ASSERT_NE(events[k].kind, EventKind::lost) << end.fabric->lost_reason(events[k].link);
      if (events[k].kind != EventKind::arrived) continue;
      const uint32_t round = events[k].tag / kChunks, chunk = events[k].tag % kChunks;
      const float* const sum = reinterpret_cast<const float*>(events[k].data);
      for (uint32_t i = 0; i < kFloats; ++i) {
        ASSERT_EQ(sum[i], gradient(0, round, chunk, i) + gradient(1, round, chunk, i));
      }
      end.fabric->release(events[k]);
      ++done_;
      if (round + 1 < kRounds) push_chunk(worker, round + 1, chunk);
    }
  }

  std::vector<std::vector<float>> results_;
  End hub_;
  std::vector<End> workers_;
  std::map<uint32_t, std::vector<Event>> arrived_;
  uint32_t done_ = 0;
};

class DpdkLossTest : public testing::TestWithParam<double> {};

TEST_P(DpdkLossTest, EverySumIsExactAndNothingHangs) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Exchange exchange(seed, {.loss = GetParam(), .duplicate = GetParam(), .late = GetParam()});
    ASSERT_TRUE(exchange.run());
    if (HasFailure()) return;
  }
}
INSTANTIATE_TEST_SUITE_P(rates, DpdkLossTest, testing::Values(0.0, 0.001, 0.01, 0.05));

TEST(DpdkGatherTest, SumsAreExactWhenPacketsEndInTheWorkersMemory) {
  for (const double rate : {0.0, 0.01, 0.05}) {
    for (uint64_t seed = 0; seed < 10; ++seed) {
      SCOPED_TRACE("rate " + std::to_string(rate) + " seed " + std::to_string(seed));
      Exchange exchange(seed, {.loss = rate, .duplicate = rate, .late = rate}, true);
      ASSERT_TRUE(exchange.run());
      if (testing::Test::HasFailure()) return;
      EXPECT_GE(exchange.worker(0).counters().packets_gathered, kChunks * kRounds);
    }
  }
}

TEST(DpdkGatherTest, NothingIsGatheredWhereItGainsNothing) {
  Exchange exchange(0, {});
  ASSERT_TRUE(exchange.run());
  EXPECT_EQ(exchange.worker(0).counters().packets_gathered, 0u);
}

TEST(DpdkWireTest, StrangersAreCountedAndDropped) {
  const auto& names = dpdk::memif_devices();
  const auto hub = dpdk::make_test_wire(names.hub, "", 0, 1);
  const auto worker = dpdk::make_test_wire({names.workers[0]}, "", 0, 0);
  ASSERT_TRUE(worker->prepare(hub->address()).ok());
  const auto send = [&](const UdpPlace& to) {
    const std::span<std::byte> room = worker->reserve();
    ASSERT_FALSE(room.empty());
    worker->send(to_address(to), 100);
    worker->flush();
  };
  std::array<WirePacket, 8> packets;
  const auto receives = [&] {
    size_t count = 0;
    const base::Instant end = base::now() + std::chrono::milliseconds(200);
    while (count == 0 && base::now() < end) count = hub->receive(packets);
    return count;
  };
  const UdpPlace place = place_of(hub->address());
  size_t got = 0;
  for (int i = 0; i < 100 && got == 0; ++i) {  // Until the link is up.
    send(place);
    got = receives();
  }
  ASSERT_GT(got, 0u);
  EXPECT_EQ(packets[0].from, worker->address());
  while (receives() > 0) {
  }
  UdpPlace other_mac = place, other_ip = place, other_port = place;
  other_mac.mac[5] ^= std::byte{1};
  other_ip.ip[15] ^= std::byte{1};
  other_port.port += 1;
  for (const UdpPlace& wrong : {other_mac, other_ip, other_port}) {
    const uint64_t before = hub->counters().foreign;
    send(wrong);
    EXPECT_EQ(receives(), 0u);
    EXPECT_EQ(hub->counters().foreign, before + 1);
  }
  EXPECT_EQ(hub->counters().malformed, 0u);
}

// A packet to somebody whose device is not known leaves by all of them: the other worker sees it.
TEST(DpdkWireTest, OnlyPeersThatWereAnnouncedTeachTheirDevice) {
  const auto& names = dpdk::memif_devices();
  const auto hub = dpdk::make_test_wire(names.hub, "", 0, 1);
  const auto peer = dpdk::make_test_wire({names.workers[0]}, "", 0, 0);
  const auto other = dpdk::make_test_wire({names.workers[1]}, "", 0, 0);
  ASSERT_TRUE(peer->prepare(hub->address()).ok());
  ASSERT_TRUE(other->prepare(hub->address()).ok());
  std::array<WirePacket, 8> packets;
  const auto moves = [&packets](dpdk::DpdkWire& from, dpdk::DpdkWire& to) {
    for (int i = 0; i < 100; ++i) {  // Until the link is up.
      if (from.reserve().empty()) continue;
      from.send(to.address(), 100);
      from.flush();
      const base::Instant end = base::now() + std::chrono::milliseconds(100);
      while (base::now() < end) {
        if (to.receive(packets) > 0) return true;
      }
    }
    return false;
  };
  const auto foreign = [&] {  // At the worker that the hub does not mean.
    const base::Instant end = base::now() + std::chrono::milliseconds(100);
    while (base::now() < end) other->receive(packets);
    return other->counters().foreign;
  };
  ASSERT_TRUE(moves(*other, *hub));  // Its link is up, so that it could see what is sent by all.
  ASSERT_TRUE(moves(*peer, *hub));
  uint64_t before = foreign();
  ASSERT_TRUE(moves(*hub, *peer));
  EXPECT_GT(foreign(), before) << "nobody announced the peer";
  ASSERT_TRUE(hub->prepare(peer->address()).ok());
  ASSERT_TRUE(moves(*peer, *hub));
  before = foreign();
  ASSERT_TRUE(moves(*hub, *peer));
  EXPECT_EQ(foreign(), before);
}

// A ring that nobody empties, for now: what is sent must wait for it, and none may be lost.
TEST(DpdkWireTest, ADeviceThatIsBehindMakesSendersWaitAndOneThatIsStuckDoesNot) {
  const auto& names = dpdk::memif_devices();
  const auto hub = dpdk::make_test_wire(names.hub, "", 0, 1);
  const auto peer = dpdk::make_test_wire({names.workers[0]}, "", 0, 0);
  ASSERT_TRUE(hub->prepare(peer->address()).ok());
  ASSERT_TRUE(peer->prepare(hub->address()).ok());
  std::array<WirePacket, 32> packets;
  const auto send = [&] {
    if (peer->reserve().empty()) return false;
    peer->send(hub->address(), 100);
    return true;
  };
  const base::Instant end = base::now() + std::chrono::seconds(20);
  for (bool is_up = false; !is_up && base::now() < end; is_up = hub->receive(packets) > 0) {
    send();
    peer->flush();
  }
  const auto empty = [&] {
    size_t sum = 0;
    for (size_t got = 1; got > 0; sum += got) {
      peer->flush();
      got = hub->receive(packets);
    }
    return sum;
  };
  empty();
  const uint64_t before = peer->counters().dropped;
  size_t sent = 0;
  while (sent < 10'000 && send()) ++sent;
  ASSERT_LT(sent, 10'000u) << "nothing made the sender wait";
  EXPECT_EQ(peer->counters().dropped, before);
  EXPECT_EQ(empty(), sent);
  EXPECT_TRUE(send()) << "there is room again";

  // And for ever: then the others' packets matter more.
  for (size_t tries = 0; tries < 100'000 && peer->counters().dropped == before; ++tries) send();
  EXPECT_GT(peer->counters().dropped, before);
  empty();
}

// As where the kernel spreads packets over the queues by a hash (PACKET_FANOUT_HASH).
TEST(DpdkWireTest, PacketsOfAnotherShardAreHandedOver) {
  // Devices of its own: a started one keeps its number of queues.
  const std::string socket = "/tmp/phub-memif-" + std::to_string(::getpid()) + "-two";
  const std::string rest = ",id=0,socket-abstract=no,bsize=9216,socket=";
  const std::vector<std::string> names = {"net_memif50,role=server" + rest + socket};
  const auto first = dpdk::make_test_wire(names, "", 0, 2);
  const auto second = dpdk::make_test_wire(names, "", 1, 2);
  const auto worker =
      dpdk::make_test_wire({"net_memif51,role=client" + rest + "/" + socket}, "", 0, 0);
  ASSERT_TRUE(worker->prepare(first->address()).ok());
  UdpPlace to = place_of(second->address());
  to.queue = 0;  // It leaves by the queue that meets the first shard's.
  std::array<WirePacket, 8> packets;
  size_t got = 0;
  for (int i = 0; i < 100 && got == 0; ++i) {  // Until the link is up.
    ASSERT_FALSE(worker->reserve().empty());
    worker->send(to_address(to), 100 + i);
    worker->flush();
    const base::Instant end = base::now() + std::chrono::milliseconds(200);
    while (got == 0 && base::now() < end) {
      EXPECT_EQ(first->receive(packets), 0u);
      got = second->receive(packets);
    }
  }
  ASSERT_GT(got, 0u);
  EXPECT_EQ(packets[0].from, worker->address());
  EXPECT_GE(packets[0].bytes.size(), 100u);
  EXPECT_GE(first->counters().handed_over, 1u);
  EXPECT_EQ(second->counters().handed_over, 0u);
  EXPECT_EQ(first->counters().dropped, 0u);
}

TEST(DpdkWireTest, DevicesHaveOneOwnerAtATime) {
  const auto& names = dpdk::memif_devices();
  const auto hub = dpdk::make_test_wire(names.hub, "", 0, 1);
  const config::DpdkOptions same{.devices = names.hub};
  const auto again = dpdk::DpdkWire::make(same, 0, 1);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.status().code(), Code::already_exists);
  const config::DpdkOptions part{.devices = {names.hub[1]}};
  EXPECT_EQ(dpdk::DpdkWire::make(part, 0, 1).status().code(), Code::already_exists);
}

TEST(DpdkWireTest, WhatCannotBeIsRefusedWithTheReason) {
  config::DpdkOptions options{.devices = {"net_nothing7"}};
  EXPECT_EQ(dpdk::DpdkWire::make(options, 0, 1).status().code(), Code::not_found);
  options = {.devices = {dpdk::memif_devices().workers[2]}, .mtu = 20'000};
  const Status status = dpdk::DpdkWire::make(options, 0, 0).status();
  EXPECT_EQ(status.code(), Code::invalid_argument);
  EXPECT_NE(status.message().find("bsize"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace phub::transport
