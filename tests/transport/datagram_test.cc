// Goal: whatever a wire does to packets, every put arrives exactly once, whole, and is not touched
// until its release; a wire that is silent for too long is reported; strangers do no harm.
// Method: many seeds, each a hub and two workers that push and reply in one thread of simulated
// time; payloads are functions of their tags.
#include "transport/datagram.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <set>

#include "base/random.h"
#include "transport/sim.h"

namespace phub::transport {
namespace {

constexpr uint32_t kSlotBytes = 5000;
constexpr uint32_t kSlotCount = 4;
constexpr uint32_t kWorkerCount = 2;
constexpr NodeId kHub{0};

std::byte pattern(uint32_t tag, uint32_t i) {
  return static_cast<std::byte>((tag * 2654435761u + i * 40503u) >> 11);
}

// One side of one link: puts a payload of its own to each slot in turn, and checks what comes.
struct Side {
  DatagramFabric* fabric = nullptr;
  LinkId link{0};
  std::span<std::byte> slots;
  std::span<std::byte> source;
  std::map<uint32_t, uint32_t> arrived_count;  // By tag.
  std::set<uint64_t> sent;                     // Tags.
  std::vector<uint32_t> waiting;
  uint32_t lost_count = 0;

  LinkOptions options() {
    slots = *fabric->allocate(kSlotCount * kSlotBytes);
    source = *fabric->allocate(kSlotCount * kSlotBytes);
    LinkOptions options{.slots = {},
                        .peer_slot_count = kSlotCount,
                        .acceptor_puts_max = kSlotCount,
                        .connector_puts_max = kSlotCount};
    for (uint32_t i = 0; i < kSlotCount; ++i) {
      options.slots.push_back({slots.data() + i * kSlotBytes, kSlotBytes});
    }
    return options;
  }
  // Tag = round * kSlotCount + slot. The size follows from the tag: empty, tiny, or many packets.
  static uint32_t bytes_of(uint32_t tag) {
    const std::array<uint32_t, 6> sizes = {0, 1, 60, 1427, 3001, kSlotBytes};
    return sizes[tag * 7 % sizes.size()];
  }
  // The source belongs to the fabric until the slot's last put was sent, so puts wait for that.
  void put_what_may_go() {
    std::erase_if(waiting, [this](uint32_t tag) {
      if (tag >= kSlotCount && !sent.contains(tag - kSlotCount)) return false;
      std::byte* const data = source.data() + tag % kSlotCount * kSlotBytes;
      for (uint32_t i = 0; i < bytes_of(tag); ++i) data[i] = pattern(tag, i);
      const Put put{.link = link,
                    .slot = tag % kSlotCount,
                    .tag = tag,
                    .bytes = bytes_of(tag),
                    .data = data,
                    .cookie = tag};
      return fabric->put({&put, 1}) == 1;
    });
  }
};

class Cluster {
 public:
  Cluster(uint64_t seed, const Faults& faults, uint32_t rounds)
      : network_({.seed = seed, .faults = faults}), random_(seed + 1), rounds_(rounds) {
    for (uint32_t node = 0; node <= kWorkerCount; ++node) {
      fabrics_.push_back(std::make_unique<DatagramFabric>(
          network_.make_wire(NodeId{node}), DatagramOptions{.link_timeout_ns = 1'000'000'000,
                                                            .keepalive_ns = 200'000'000,
                                                            .seed = seed * 8 + node + 1}));
    }
    for (uint32_t i = 0; i < kWorkerCount; ++i) {
      hub_[i].fabric = fabrics_[0].get();
      worker_[i].fabric = fabrics_[1 + i].get();
      Bootstrap offer, answer;
      hub_[i].link = *hub_[i].fabric->open(hub_[i].options(), &offer);
      worker_[i].link =
          *worker_[i].fabric->connect(worker_[i].options(), std::move(offer), &answer);
      EXPECT_TRUE(hub_[i].fabric->accept(hub_[i].link, std::move(answer)).ok());
    }
  }

  void start() {
    for (Side& worker : worker_) {
      for (uint32_t slot = 0; slot < kSlotCount; ++slot) worker.waiting.push_back(slot);
    }
  }

  // One instant: poll everybody, then go to the next packet or timer.
  void step() {
    for (auto& fabric : fabrics_) poll(*fabric);
    release_some();
    for (Side& side : hub_) side.put_what_may_go();
    for (Side& side : worker_) side.put_what_may_go();
    Instant next = network_.next_event();
    for (auto& fabric : fabrics_) next = std::min(next, fabric->next_deadline());
    if (!held_.empty()) next = std::min(next, network_.now() + std::chrono::microseconds(5));
    if (next < Instant{INT64_MAX}) network_.run_until(next);
  }

  bool is_done() const {
    for (const Side& side : worker_) {
      if (side.arrived_count.size() < rounds_ * kSlotCount) return false;
      if (side.sent.size() < rounds_ * kSlotCount) return false;
    }
    for (const Side& side : hub_) {
      if (side.sent.size() < rounds_ * kSlotCount) return false;
    }
    return held_.empty();
  }
  bool is_lost_everywhere() const {
    for (uint32_t i = 0; i < kWorkerCount; ++i) {
      if (hub_[i].lost_count + worker_[i].lost_count < 2) return false;
    }
    return true;
  }

  SimNetwork& network() { return network_; }
  Side& hub(uint32_t i) { return hub_[i]; }
  Side& worker(uint32_t i) { return worker_[i]; }

 private:
  struct Held {
    Side* side = nullptr;
    bool is_hub = false;
    Event event;
  };

  void poll(DatagramFabric& fabric) {
    std::array<Event, 3> events;
    const size_t count = fabric.poll(network_.now(), events);
    for (size_t k = 0; k < count; ++k) {
      for (uint32_t i = 0; i < kWorkerCount; ++i) {
        take(fabric, hub_[i], events[k], true);
        take(fabric, worker_[i], events[k], false);
      }
    }
  }

  void take(DatagramFabric& fabric, Side& side, const Event& event, bool is_hub) {
    if (side.fabric != &fabric || side.link != event.link) return;
    if (event.kind == EventKind::sent) {
      EXPECT_TRUE(side.sent.insert(event.cookie).second);
    }
    if (event.kind == EventKind::lost) ++side.lost_count;
    if (event.kind != EventKind::arrived) return;
    EXPECT_EQ(++side.arrived_count[event.tag], 1u) << "tag " << event.tag;
    EXPECT_EQ(event.bytes, Side::bytes_of(event.tag));
    EXPECT_EQ(event.data, side.slots.data() + event.tag % kSlotCount * kSlotBytes);
    check(event);
    held_.push_back({&side, is_hub, event});
  }

  // Payloads are held for a while, and must be whole to the end.
  void release_some() {
    for (size_t i = 0; i < held_.size();) {
      if (random_.chance(0.5)) {
        ++i;
        continue;
      }
      const Held held = held_[i];
      held_[i] = held_.back();
      held_.pop_back();
      check(held.event);
      held.side->fabric->release(held.event);
      // The hub replies with the same tag; the worker goes on with the next round.
      const uint32_t next = held.is_hub ? held.event.tag : held.event.tag + kSlotCount;
      if (next < rounds_ * kSlotCount) held.side->waiting.push_back(next);
    }
  }

  void check(const Event& event) {
    for (uint32_t i = 0; i < event.bytes; ++i) {
      ASSERT_EQ(event.data[i], pattern(event.tag, i)) << "tag " << event.tag << " byte " << i;
    }
  }

  SimNetwork network_;
  base::Random random_;
  uint32_t rounds_;
  std::vector<std::unique_ptr<DatagramFabric>> fabrics_;
  std::array<Side, kWorkerCount> hub_;
  std::array<Side, kWorkerCount> worker_;
  std::vector<Held> held_;
};

TEST(DatagramTest, EveryPutArrivesOnceAndWholeWhateverTheWireDoes) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Cluster cluster(seed,
                    {.loss = 0.05 * static_cast<double>(seed % 7),
                     .duplicate = 0.1 * static_cast<double>(seed % 4),
                     .mark = 0.2 * static_cast<double>(seed % 3),
                     .delay_ns_min = 1'000,
                     .delay_ns_max = 1'000 + seed % 5 * 20'000},
                    4);
    cluster.start();
    for (int i = 0; i < 100'000 && !cluster.is_done(); ++i) cluster.step();
    ASSERT_TRUE(cluster.is_done());
    if (testing::Test::HasFailure()) return;
  }
}

TEST(DatagramTest, CutThatHealsInTimeOnlyDelays) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Cluster cluster(seed, {.loss = 0.1, .delay_ns_min = 1'000, .delay_ns_max = 20'000}, 4);
    cluster.start();
    SimNetwork& network = cluster.network();
    const auto begin = static_cast<int64_t>(seed * 7'000);
    network.at({begin}, [&] { network.cut(kHub, NodeId{1}); });
    network.at({begin + 500'000'000}, [&] { network.heal(kHub, NodeId{1}); });
    for (int i = 0; i < 100'000 && !cluster.is_done(); ++i) cluster.step();
    ASSERT_TRUE(cluster.is_done());
    EXPECT_EQ(cluster.hub(0).lost_count + cluster.worker(0).lost_count, 0u);
  }
}

TEST(DatagramTest, LastingCutIsReportedToBothSidesWithinTheBound) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Cluster cluster(seed, {.loss = 0.1, .delay_ns_min = 1'000, .delay_ns_max = 20'000}, 1000);
    cluster.start();
    SimNetwork& network = cluster.network();
    const auto begin = static_cast<int64_t>(seed * 7'000);
    network.at({begin}, [&] {
      network.cut(kHub, NodeId{1});
      network.cut(kHub, NodeId{2});
    });
    // link_timeout_ns, after at most keepalive_ns until somebody asks, and a timer's length.
    const Instant bound{begin + 1'000'000'000 + 200'000'000 + 125'000'000};
    while (network.now() < bound && !cluster.is_lost_everywhere()) cluster.step();
    ASSERT_TRUE(cluster.is_lost_everywhere());
    EXPECT_EQ(cluster.hub(0).lost_count, 1u);
    const std::string reason = cluster.hub(0).fabric->lost_reason(cluster.hub(0).link);
    EXPECT_TRUE(reason.starts_with("no answer for 1")) << reason;
    EXPECT_TRUE(reason.ends_with(" attempts")) << reason;
  }
}

TEST(DatagramTest, QuietLinkCostsOneProbePerKeepalive) {
  Cluster cluster(1, {}, 1);
  cluster.start();
  while (!cluster.is_done()) cluster.step();
  const uint64_t before = cluster.hub(0).fabric->counters().packets_sent;
  const Instant begin = cluster.network().now();
  int steps = 0;
  while (cluster.network().now() < begin + std::chrono::seconds(10)) {
    cluster.step();
    ++steps;
  }
  // 10 s, a probe each 200 ms on each of two links, from one side or the other, with its answer.
  EXPECT_LE(cluster.hub(0).fabric->counters().packets_sent - before, 2u * 50 * 2);
  EXPECT_LT(steps, 2000);
}

TEST(DatagramTest, GarbageAndForgeriesAreCountedAndDropped) {
  Cluster cluster(3, {}, 4);
  auto stranger = cluster.network().make_wire(NodeId{7});
  DatagramFabric& hub = *cluster.hub(0).fabric;
  Bootstrap offer;  // The stranger has seen an offer: he knows address and cookie of this link.
  Side bait_side;
  bait_side.fabric = &hub;
  const LinkId bait = *hub.open(bait_side.options(), &offer);
  const DatagramBootstrap known =
      *decode_bootstrap(offer.blob, DatagramBootstrap::Role::offer, kSlotCount);
  base::Random random(9);
  cluster.start();
  for (uint32_t i = 0; i < 500; ++i) {
    base::ByteWriter writer(stranger->reserve());
    // By turns: noise; a good header with noise behind it; a good header of some link.
    if (i % 3 > 0) {
      const uint64_t cookie = i % 2 == 0 ? known.cookie : random.next();
      encode(PacketHeader{PacketKind::data, false, i % 5, cookie, random.below(4)}, writer);
    }
    const uint64_t noise_bytes = i % 3 < 2 ? 1 + random.below(100) : 0;
    for (uint64_t k = 0; k < noise_bytes; ++k) writer.number(static_cast<uint8_t>(random.next()));
    stranger->send(known.address, writer.size());
    cluster.step();
  }
  for (int i = 0; i < 100'000 && !cluster.is_done(); ++i) cluster.step();
  EXPECT_TRUE(cluster.is_done());
  EXPECT_GT(hub.counters().packets_malformed, 100u);
  EXPECT_GT(hub.counters().packets_stale, 10u);
  hub.close(bait);
}

TEST(DatagramTest, PacketsOfAFormerLinkAreStale) {
  SimNetwork network({.seed = 2, .faults = {.delay_ns_min = 1'000, .delay_ns_max = 500'000}});
  DatagramFabric hub(network.make_wire(NodeId{0}), {.seed = 5});
  DatagramFabric worker(network.make_wire(NodeId{1}), {.seed = 6});
  uint32_t arrived = 0;
  std::array<Event, 16> events;
  const auto step = [&] {
    for (DatagramFabric* const fabric : {&hub, &worker}) {
      const size_t count = fabric->poll(network.now(), events);
      for (size_t i = 0; i < count; ++i) {
        if (events[i].kind != EventKind::arrived) continue;
        EXPECT_EQ(events[i].tag, 2u) << "a put of the former link";
        fabric->release(events[i]);
        ++arrived;
      }
    }
    network.advance_to_next_event();
  };
  for (uint32_t life = 1; life <= 2; ++life) {
    Side acceptor, connector;
    acceptor.fabric = &hub;
    connector.fabric = &worker;
    Bootstrap offer, answer;
    acceptor.link = *hub.open(acceptor.options(), &offer);
    connector.link = *worker.connect(connector.options(), std::move(offer), &answer);
    ASSERT_TRUE(hub.accept(acceptor.link, std::move(answer)).ok());
    for (uint32_t slot = 0; slot < kSlotCount; ++slot) {
      const Put put{.link = connector.link,
                    .slot = slot,
                    .tag = life,
                    .bytes = 3000,
                    .data = connector.source.data()};
      ASSERT_EQ(worker.put({&put, 1}), 1u);
    }
    if (life == 1) {  // With everything still on its way.
      worker.close(connector.link);
      hub.close(acceptor.link);
    }
  }
  for (int i = 0; i < 10'000 && arrived < kSlotCount; ++i) step();
  EXPECT_EQ(arrived, kSlotCount);
  EXPECT_GT(hub.counters().packets_stale, 0u);
}

}  // namespace
}  // namespace phub::transport
