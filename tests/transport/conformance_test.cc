// Goal: every fabric keeps the contract of transport/fabric.h, so that what runs above need not
// know which one it has.
// Method: one acceptor and three connectors in one thread; payloads are functions of their tags;
// guard bytes lie between all slots; the simulated fabrics also check this test.
#include <array>
#include <map>

#include "base/random.h"
#include "tests/transport/conformance.h"

namespace phub::transport {

TEST_P(FabricConformance, PutsOfEverySizeArriveWholeBothWays) {
  const Joined link = join(0, {.slot_count = 4, .slot_bytes = 40'000, .puts_max = 4});
  const auto all_sent = [&](size_t worker_count, size_t hub_count) {
    return step_until([&] {
      release_repeats();
      return link.worker->sent.size() == worker_count && link.hub->sent.size() == hub_count;
    });
  };
  uint32_t tag = 1;
  size_t hub_sent = 0;
  for (const uint32_t bytes : {0u, 1u, 3u, 4095u, 4096u, 39'999u, 40'000u}) {
    const uint32_t slot = tag % 4;
    put(make_put(*link.worker, slot, tag, bytes), *link.worker);
    expect_arrival(*link.hub, tag, bytes);
    put(make_put(*link.hub, slot, tag, bytes), *link.hub);
    expect_arrival(*link.worker, tag, bytes);
    ASSERT_TRUE(all_sent(tag, ++hub_sent));
    put(make_put(*link.hub, slot, tag + 100, bytes, true), *link.hub);
    expect_arrival(*link.worker, tag + 100, bytes);
    ASSERT_TRUE(all_sent(tag, hub_sent += traits().windows ? 0 : 1));
    ++tag;
  }
}

TEST_P(FabricConformance, AcceptorPutsOutOfItsOwnRegisteredMemory) {
  const Joined link = join(0, {});
  std::vector<std::byte> own(1000);
  ASSERT_TRUE(acceptor().register_memory(own, 0).ok());
  for (uint32_t i = 0; i < own.size(); ++i) own[i] = pattern(9, i);
  put({.link = link.hub->link, .slot = 1, .tag = 9, .bytes = 1000, .data = own.data()}, *link.hub);
  expect_arrival(*link.worker, 9, 1000);
  step_until([&] { return link.hub->sent.size() == 1; });
  acceptor().deregister_memory(own);
}

TEST_P(FabricConformance, PayloadLiesInTheSlotItWasPutTo) {
  const Joined link = join(0, {.slot_count = 4, .slot_bytes = 1000});
  for (uint32_t slot = 0; slot < 4; ++slot) {
    put(make_put(*link.hub, slot, 10 + slot, 1000), *link.hub);
    expect_arrival(*link.worker, 10 + slot, 1000);
  }
  for (uint32_t slot = 0; slot < 4; ++slot) {
    for (uint32_t i = 0; i < 1000; ++i) {
      ASSERT_EQ(link.worker->slots.slot(slot)[i], pattern(10 + slot, i)) << slot << " " << i;
    }
  }
}

TEST_P(FabricConformance, ShortPutLeavesTheRestOfItsSlotAlone) {
  const Joined link = join(0, {.slot_count = 1, .slot_bytes = 512});
  put(make_put(*link.hub, 0, 1, 100), *link.hub);
  expect_arrival(*link.worker, 1, 100);
  for (uint32_t i = 100; i < 512; ++i) {
    ASSERT_EQ(link.worker->slots.slot(0)[i], std::byte{0xa5}) << i;
  }
}

TEST_P(FabricConformance, TagsArriveAsTheyAre) {
  const Joined link = join(1, {.slot_count = 2, .slot_bytes = 64});
  for (const uint32_t tag : {0u, 1u, 0x80000000u, 0x7fffffffu, 0xdeadbeefu, 0xffffffffu}) {
    put(make_put(*link.worker, tag % 2, tag, 0), *link.worker);
    expect_arrival(*link.hub, tag, 0);
    put(make_put(*link.hub, tag % 2, tag, 0), *link.hub);
    expect_arrival(*link.worker, tag, 0);
  }
}

TEST_P(FabricConformance, ManyLinksDoNotMix) {
  std::vector<Joined> links;
  for (size_t i = 0; i < 12; ++i) links.push_back(join(i % kConnectorCount, {.slot_count = 2}));
  for (uint32_t round = 0; round < 3; ++round) {
    for (uint32_t i = 0; i < links.size(); ++i) {
      const uint32_t tag = round << 16 | i;
      put(make_put(*links[i].worker, round % 2, tag, 700 + i), *links[i].worker);
      put(make_put(*links[i].hub, round % 2, ~tag, 800 + i), *links[i].hub);
    }
    for (uint32_t i = 0; i < links.size(); ++i) {
      const uint32_t tag = round << 16 | i;
      expect_arrival(*links[i].hub, tag, 700 + i);
      expect_arrival(*links[i].worker, ~tag, 800 + i);
    }
    step_until([&] {  // The sources are free again.
      release_repeats();
      for (const Joined& link : links) {
        if (link.hub->sent.size() <= round || link.worker->sent.size() <= round) return false;
      }
      return true;
    });
  }
}

TEST_P(FabricConformance, OneBatchMayNameManyLinks) {
  const Joined a = join(0, {});
  const Joined b = join(1, {});
  const std::array<Put, 4> puts = {make_put(*a.hub, 0, 1, 64), make_put(*b.hub, 0, 2, 64),
                                   make_put(*a.hub, 1, 3, 64), make_put(*b.hub, 1, 4, 64)};
  size_t taken = 0;
  step_until([&] {
    taken += acceptor().put(std::span(puts).subspan(taken));
    return taken == puts.size();
  });
  expect_arrival(*a.worker, 1, 64);
  expect_arrival(*b.worker, 2, 64);
}

TEST_P(FabricConformance, BatchBeyondTheCapacityIsTakenInParts) {
  const LinkShape shape{.slot_count = 300, .slot_bytes = 256, .puts_max = 8};
  const Joined link = join(0, shape);
  for (Half* const from : {link.worker, link.hub}) {
    Half* const to = from == link.worker ? link.hub : link.worker;
    std::vector<Put> puts;
    for (uint32_t i = 0; i < shape.slot_count; ++i) puts.push_back(make_put(*from, i, i, 200));
    std::map<uint32_t, int> seen;
    size_t taken = 0;
    if (pair_->takes_whole_batches()) {
      taken = from->fabric->put(puts);
      EXPECT_GE(taken, shape.puts_max);
    }
    step_until([&] {
      taken += from->fabric->put(std::span(puts).subspan(taken));
      for (const Event& event : to->arrived) {
        if (++seen[event.tag] > 1) continue;
        EXPECT_TRUE(is_pattern(event)) << event.tag;
      }
      release_all(*to);
      return seen.size() == puts.size() && from->sent.size() == puts.size();
    });
    EXPECT_EQ(taken, puts.size());
  }
}

TEST_P(FabricConformance, EveryPutIsSentOnceAndWindowsNever) {
  const Joined link = join(2, {.slot_count = 8, .slot_bytes = 128, .puts_max = 8});
  for (uint32_t i = 0; i < 8; ++i) {
    put(make_put(*link.worker, i, i, 128), *link.worker);
    put(make_put(*link.hub, i, i, 128, i % 2 == 1), *link.hub);
  }
  for (uint32_t i = 0; i < 8; ++i) {
    step_until([&] { return link.worker->sent.size() + link.worker->arrived.size() > i; });
    release_all(*link.worker);
    release_all(*link.hub);
  }
  const bool has_windows = traits().windows;
  step_until([&] {
    release_all(*link.worker);
    release_all(*link.hub);
    return link.worker->sent.size() >= 8 && link.hub->sent.size() >= (has_windows ? 4 : 8);
  });
  for (int i = 0; i < 200; ++i) step();  // Nothing more may come.
  std::set<uint64_t> worker(link.worker->sent.begin(), link.worker->sent.end());
  std::set<uint64_t> hub(link.hub->sent.begin(), link.hub->sent.end());
  EXPECT_EQ(link.worker->sent.size(), 8u);
  EXPECT_EQ(worker, (std::set<uint64_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(link.hub->sent.size(), has_windows ? 4u : 8u);
  EXPECT_EQ(hub, has_windows ? (std::set<uint64_t>{0, 2, 4, 6})
                             : (std::set<uint64_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  release_all(*link.worker);
  release_all(*link.hub);
}

TEST_P(FabricConformance, BorrowedMemoryComesBackOnlyAfterTheRelease) {
  if (!traits().by_reference) GTEST_SKIP() << "because this fabric copies";
  const Joined link = join(0, {});
  put(make_put(*link.worker, 0, 5, 1000), *link.worker);
  step_until([&] { return !link.hub->arrived.empty(); });
  for (int i = 0; i < 200; ++i) step();
  EXPECT_TRUE(link.worker->sent.empty());
  EXPECT_GE(link.hub->arrived[0].data, link.worker->source.slot(0) - (1 << 30));
  EXPECT_TRUE(is_pattern(link.hub->arrived[0]));
  step_until([&] {
    release_all(*link.hub);
    return !link.worker->sent.empty();
  });
}

TEST_P(FabricConformance, ReleasesMayComeInAnyOrder) {
  const Joined link = join(0, {.slot_count = 6, .slot_bytes = 100, .puts_max = 6});
  base::Random random(17);
  for (uint32_t round = 0; round < 20; ++round) {
    std::set<uint32_t> seen;
    for (uint32_t i = 0; i < 6; ++i) {
      put(make_put(*link.worker, i, round * 6 + i, 100), *link.worker);
    }
    step_until([&] {
      for (const Event& event : link.hub->arrived) {
        if (event.tag / 6 == round) seen.insert(event.tag);
      }
      return seen.size() == 6;
    });
    std::set<uint32_t> checked;
    for (const Event& event : link.hub->arrived) {  // All still whole, side by side.
      if (event.tag / 6 == round && checked.insert(event.tag).second) {
        EXPECT_TRUE(is_pattern(event));
      }
    }
    std::vector<Event>& arrived = link.hub->arrived;
    while (!arrived.empty()) {
      std::swap(arrived[random.below(arrived.size())], arrived.back());
      link.hub->fabric->release(arrived.back());
      arrived.pop_back();
    }
    step_until([&] {
      release_all(*link.hub);
      return link.worker->sent.size() == (round + 1) * 6;
    });
  }
}

TEST_P(FabricConformance, ClosedPeerIsReportedOnceWithAReason) {
  for (const bool hub_closes : {false, true}) {
    const Joined link = join(0, {});
    const Joined other = join(1, {});
    Half* const closing = hub_closes ? link.hub : link.worker;
    Half* const staying = hub_closes ? link.worker : link.hub;
    put(make_put(*staying, 0, 1, 100), *staying);
    close(*closing);
    step_until([&] { return staying->lost_count > 0; });
    for (int i = 0; i < 50; ++i) step();
    EXPECT_EQ(staying->lost_count, 1u);
    EXPECT_NE(staying->fabric->lost_reason(staying->link), "");
    // Puts on a lost link are taken and vanish, however many.
    for (uint32_t i = 0; i < 100; ++i) {
      put(make_put(*staying, 1, i, 10), *staying);
    }
    step();
    close(*staying);
    // Nobody else notices.
    put(make_put(*other.worker, 0, 9, 64), *other.worker);
    expect_arrival(*other.hub, 9, 64);
    EXPECT_EQ(other.hub->lost_count + other.worker->lost_count, 0u);
  }
}

TEST_P(FabricConformance, LinksCanBeClosedAndMadeAnew) {
  const Joined lasting = join(0, {});
  uint32_t index_max = 0;
  for (uint32_t round = 0; round < 20; ++round) {
    const Joined link = join(round % kConnectorCount, {.slot_count = 2, .slot_bytes = 512});
    index_max = std::max(index_max, index_of(link.hub->link));
    put(make_put(*link.worker, 0, round, 512), *link.worker);
    expect_arrival(*link.hub, round, 512);
    // These may be on their way when the link goes; they must not reach the next one.
    put(make_put(*link.worker, 1, 1000 + round, 512), *link.worker);
    put(make_put(*link.hub, 1, 2000 + round, 512), *link.hub);
    close(round % 2 == 0 ? *link.worker : *link.hub);
    close(round % 2 == 0 ? *link.hub : *link.worker);
  }
  EXPECT_LE(index_max, 2u) << "link numbers are reused";
  put(make_put(*lasting.worker, 0, 1, 64), *lasting.worker);
  expect_arrival(*lasting.hub, 1, 64);
}

TEST_P(FabricConformance, UnreleasedArrivalsOfAClosedLinkDoNoHarm) {
  const Joined link = join(0, {});
  put(make_put(*link.worker, 0, 1, 64), *link.worker);
  step_until([&] { return !link.hub->arrived.empty(); });
  close(*link.hub);
  step_until([&] { return link.worker->lost_count == 1; });
  const Joined next = join(0, {});
  put(make_put(*next.worker, 0, 2, 64), *next.worker);
  expect_arrival(*next.hub, 2, 64);
}

}  // namespace phub::transport
