// Goal: over shared memory a push moves no payload, a result is a plain store, and memory is mapped
// once however many shards a worker talks to.
// Method: fabrics of one process; what the conformance suite checks for every fabric is not
// repeated here.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "tests/transport/shm_support.h"
#include "transport/open.h"

namespace phub::transport {
namespace {

// Polls until an arrival comes; its event.
Event arrival_at(Fabric& fabric) {
  for (int i = 0; i < 1000; ++i) {
    for (const Event& event : poll_once(fabric)) {
      if (event.kind == EventKind::arrived) return event;
    }
  }
  ADD_FAILURE() << "nothing arrived";
  return {};
}

}  // namespace

TEST(ShmTest, PushShowsTheSendersMemoryAsItIsNow) {
  const ShmPair pair(4, 4);
  std::memset(pair.payload(2), 1, ShmPair::kSlotBytes);
  const Put push = pair.push(2, 77);
  ASSERT_EQ(pair.worker->put({&push, 1}), 1u);
  const Event event = arrival_at(*pair.hub);
  EXPECT_EQ(event.tag, 77u);
  EXPECT_EQ(event.data[5], std::byte{1});
  // No copy: a (forbidden) change shows through.
  pair.payload(2)[5] = std::byte{9};
  EXPECT_EQ(event.data[5], std::byte{9});
  pair.hub->release(event);
}

TEST(ShmTest, StoresToAWindowLandInTheWorkersMemory) {
  const ShmPair pair(4, 4);
  std::memset(pair.hub->window(pair.hub_link, 3), 5, ShmPair::kSlotBytes);
  const Put reply = pair.reply(3, 8);
  ASSERT_EQ(pair.hub->put({&reply, 1}), 1u);
  const Event event = arrival_at(*pair.worker);
  EXPECT_EQ(event.data, pair.result(3));
  EXPECT_EQ(event.data[63], std::byte{5});
  EXPECT_TRUE(poll_once(*pair.hub).empty()) << "nothing was borrowed";
}

TEST(ShmTest, MemoryOfOneWorkerIsMappedOnceForAllShards) {
  const std::shared_ptr<Fabric> worker = make_shm();
  const auto payload = worker->allocate(4096).value();
  const auto arrived_at_new_shard = [&](std::shared_ptr<Fabric> shard) {
    const ShmPair pair(shard, worker, 1, 1);
    Put push = pair.push(0, 1);
    push.data = payload.data();
    EXPECT_EQ(worker->put({&push, 1}), 1u);
    return arrival_at(*shard).data;
  };
  const std::shared_ptr<Fabric> first = make_shm(), second = make_shm();
  const ShmPair keeps_the_mapping(first, worker, 16, 1);
  const std::byte* const at_first = arrived_at_new_shard(first);
  EXPECT_EQ(at_first, arrived_at_new_shard(second));
  EXPECT_NE(at_first, payload.data()) << "the hub has a mapping of its own";
}

TEST(ShmTest, WorkerMayTalkToSeveralShards) {
  const std::shared_ptr<Fabric> worker = make_shm();
  std::vector<ShmPair> shards;
  for (int i = 0; i < 4; ++i) shards.emplace_back(make_shm(), worker, 2, 2);
  for (uint32_t i = 0; i < shards.size(); ++i) {
    const Put push = shards[i].push(0, 100 + i);
    ASSERT_EQ(worker->put({&push, 1}), 1u);
  }
  for (uint32_t i = 0; i < shards.size(); ++i) {
    const Event event = arrival_at(*shards[i].hub);
    EXPECT_EQ(event.tag, 100 + i);
    shards[i].hub->release(event);
    const Put reply = shards[i].reply(1, 200 + i);
    ASSERT_EQ(shards[i].hub->put({&reply, 1}), 1u);
  }
  std::vector<uint32_t> tags;
  std::vector<uint64_t> sent;
  for (int i = 0; i < 8; ++i) {
    for (const Event& event : poll_once(*worker)) {
      if (event.kind == EventKind::arrived) tags.push_back(event.tag);
      if (event.kind == EventKind::sent) sent.push_back(event.cookie);
    }
  }
  std::sort(tags.begin(), tags.end());
  std::sort(sent.begin(), sent.end());
  EXPECT_EQ(tags, (std::vector<uint32_t>{200, 201, 202, 203}));
  EXPECT_EQ(sent, (std::vector<uint64_t>{100, 101, 102, 103}));
}

TEST(ShmTest, EarlierReleasesAreHandedOutBeforeTheirReply) {
  const ShmPair pair(4, 4);
  const Put push = pair.push(0, 1);
  ASSERT_EQ(pair.worker->put({&push, 1}), 1u);
  pair.hub->release(arrival_at(*pair.hub));
  const Put reply = pair.reply(0, 2);
  ASSERT_EQ(pair.hub->put({&reply, 1}), 1u);
  const std::vector<Event> events = poll_once(*pair.worker);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kind, EventKind::sent);
  EXPECT_EQ(events[1].kind, EventKind::arrived);
}

TEST(ShmTest, ManyLinksShareTheirTurnsFairly) {
  const std::shared_ptr<Fabric> hub = make_shm(), worker = make_shm();
  std::vector<ShmPair> pairs;
  for (int i = 0; i < 3; ++i) pairs.emplace_back(hub, worker, 64, 64);
  for (const ShmPair& pair : pairs) {
    for (uint32_t slot = 0; slot < 64; ++slot) {
      const Put push = pair.push(slot, slot);
      ASSERT_EQ(worker->put({&push, 1}), 1u);
    }
  }
  std::vector<int> taken(3);
  for (int i = 0; i < 3; ++i) {
    std::array<Event, 32> events;
    const size_t count = hub->poll(Instant{}, events);
    EXPECT_EQ(count, events.size());
    for (const Event& event : events) ++taken[index_of(event.link)];
  }
  EXPECT_EQ(taken, (std::vector<int>{32, 32, 32}));
}

TEST(ShmTest, MemoryIsAlignedAndInFewRegions) {
  const auto worker = make_shm();
  const auto hub = make_shm();
  for (const size_t bytes : {1u, 63u, 64u, 65u, 4097u, 1'000'000u}) {
    const auto memory = worker->allocate(bytes).value();
    EXPECT_EQ(memory.size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % 64, 0u);
    for (const std::byte value : memory) ASSERT_EQ(value, std::byte{0});
  }
  Bootstrap offer, answer;
  ASSERT_TRUE(hub->open({}, &offer).ok());
  ASSERT_TRUE(worker->connect({}, std::move(offer), &answer).ok());
  EXPECT_EQ(answer.fds.size(), 1u) << "descriptors are scarce";
  struct stat file;
  ASSERT_EQ(::fstat(answer.fds[0].get(), &file), 0);
  EXPECT_LT(file.st_blocks * 512, 2'000'000) << "only what was asked has pages";
}

TEST(ShmTest, SlotsOutsideRegisteredMemoryAreRefused) {
  const auto hub = make_shm(), worker = make_shm();
  std::byte elsewhere[64];
  const LinkOptions options{.slots = {{elsewhere, 64}}, .peer_slot_count = 1};
  Bootstrap offer, answer;
  ASSERT_TRUE(hub->open({.slots = {{nullptr, 64}}, .peer_slot_count = 1}, &offer).ok());
  const auto link = worker->connect(options, std::move(offer), &answer);
  ASSERT_FALSE(link.ok());
  EXPECT_EQ(link.status().message(), "slot 0 of 64 bytes does not lie in memory from allocate()");
}

TEST(ShmTest, SidesThatDisagreeAreToldTheNumbers) {
  const auto hub = make_shm(), worker = make_shm();
  Bootstrap offer, answer;
  ASSERT_TRUE(hub->open({.slots = {}, .connector_puts_max = 3}, &offer).ok());
  const auto link =
      worker->connect({.slots = {}, .connector_puts_max = 4}, std::move(offer), &answer);
  ASSERT_FALSE(link.ok());
  EXPECT_EQ(link.status().message(), "the peer says connector_puts_max = 3, but here it is 4");
}

TEST(ShmTest, UnknownSchemeIsAnsweredWithTheKnownOnes) {
  const auto fabric = open_fabric("carrier-pigeon");
  ASSERT_FALSE(fabric.ok());
  EXPECT_EQ(fabric.status().code(), Code::invalid_argument);
  EXPECT_EQ(fabric.status().message(),
            "fabric \"carrier-pigeon\" is unknown; this build has: shm, tcp, tls, verbs, dpdk");
}

}  // namespace phub::transport
