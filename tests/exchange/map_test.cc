// Goal: the map is a partition: every element in one chunk, every chunk in one slot of one shard,
// each near its NIC; equal inputs give equal maps, and damage is found.
// Method: random tables from seeds, a described machine, and maps broken on purpose.
#include "exchange/map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/random.h"
#include "exchange/wire.h"

namespace phub::exchange {

// Reaches into a map to damage it.
struct ChunkMapBreaker {
  static std::vector<Chunk>& chunks(ChunkMap& map) { return map.chunks_; }
  static std::vector<std::vector<uint32_t>>& by_shard(ChunkMap& map) { return map.by_shard_; }
  static std::vector<uint64_t>& shard_elements(ChunkMap& map) { return map.shard_elements_; }
};

namespace {

HubShape make_hub(uint32_t shard_count) {
  HubShape hub;
  hub.shards.resize(shard_count);
  return hub;
}

std::vector<TensorSpec> random_table(base::Random& random) {
  std::vector<TensorSpec> tensors(1 + random.below(40));
  for (TensorSpec& tensor : tensors) {
    tensor.name = "t" + std::to_string(&tensor - tensors.data());
    tensor.count = 1 + random.below(random.chance(0.3) ? 200'000 : 300);
  }
  return tensors;
}

ChunkMap must_build(std::span<const TensorSpec> tensors, uint32_t chunk_elements,
                    const HubShape& hub) {
  auto map = ChunkMap::build(tensors, chunk_elements, hub);
  EXPECT_TRUE(map.ok()) << map.status().message();
  return map.ok() ? *std::move(map) : ChunkMap();
}

TEST(ChunkMapTest, EveryElementIsInExactlyOneChunkAndEveryChunkInExactlyOneSlot) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    base::Random random(seed);
    const std::vector<TensorSpec> tensors = random_table(random);
    const auto chunk_elements = static_cast<uint32_t>(64 * (1 + random.below(200)));
    const HubShape hub = make_hub(static_cast<uint32_t>(1 + random.below(64)));
    const ChunkMap map = must_build(tensors, chunk_elements, hub);

    std::vector<uint64_t> covered(tensors.size(), 0);
    std::set<std::pair<uint32_t, uint32_t>> slots;
    for (const Chunk& chunk : map.chunks()) {
      EXPECT_EQ(chunk.first_element, covered[chunk.tensor]);
      EXPECT_EQ(chunk.first_element % chunk_elements, 0u);
      EXPECT_LE(chunk.element_count, chunk_elements);
      covered[chunk.tensor] += chunk.element_count;
      EXPECT_LT(chunk.shard, map.shard_count());
      EXPECT_TRUE(slots.insert({chunk.shard, chunk.slot}).second);
    }
    for (size_t i = 0; i < tensors.size(); ++i) EXPECT_EQ(covered[i], tensors[i].count);
    for (uint32_t shard = 0; shard < map.shard_count(); ++shard) {
      const auto owned = map.chunks_of_shard(shard);
      EXPECT_TRUE(std::is_sorted(owned.begin(), owned.end()));
      for (uint32_t slot = 0; slot < owned.size(); ++slot) {
        EXPECT_TRUE(slots.contains({shard, slot})) << "slots are dense";
      }
    }
    EXPECT_TRUE(map.verify(tensors).ok());
  }
}

// Graham's bound for largest-first: at most 4/3 - 1/(3m) of the best possible maximum.
TEST(ChunkMapTest, LoadIsWithinGrahamsBound) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    base::Random random(seed);
    const std::vector<TensorSpec> tensors = random_table(random);
    const auto shard_count = static_cast<uint32_t>(1 + random.below(64));
    const ChunkMap map = must_build(tensors, 4096, make_hub(shard_count));
    uint64_t total = 0;
    uint64_t largest_chunk = 0;
    uint64_t largest_shard = 0;
    for (const Chunk& chunk : map.chunks()) {
      total += chunk.element_count;
      largest_chunk = std::max<uint64_t>(largest_chunk, chunk.element_count);
    }
    for (uint32_t shard = 0; shard < shard_count; ++shard) {
      largest_shard = std::max(largest_shard, map.elements_of_shard(shard));
    }
    // List scheduling of any order: the mean of the others plus one chunk.
    const double bound = static_cast<double>(total) / shard_count +
                         static_cast<double>(largest_chunk) * (1 - 1.0 / shard_count);
    EXPECT_LE(static_cast<double>(largest_shard), bound + 1) << "seed " << seed;
  }
}

TEST(ChunkMapTest, AShardsFullChunksOfATensorAreNeighbours) {
  std::vector<TensorSpec> tensors(3);
  for (size_t t = 0; t < tensors.size(); ++t) tensors[t].name = "t" + std::to_string(t);
  tensors[0].count = 100 * 64;
  tensors[1].count = 7 * 64 + 1;
  tensors[2].count = 64 * 64;
  const ChunkMap map = must_build(tensors, 64, make_hub(3));
  for (uint32_t t = 0; t < tensors.size(); ++t) {
    const auto [begin, end] = map.chunks_of_tensor(t);
    for (uint32_t chunk = begin + 1; chunk < end; ++chunk) {
      if (map.chunks()[chunk].element_count < 64) continue;
      EXPECT_GE(map.chunks()[chunk].shard, map.chunks()[chunk - 1].shard) << "chunk " << chunk;
    }
  }
}

TEST(ChunkMapTest, EqualInputsGiveEqualMaps) {
  base::Random random(7);
  const std::vector<TensorSpec> tensors = random_table(random);
  const ChunkMap one = must_build(tensors, 1024, make_hub(7));
  const ChunkMap two = must_build(tensors, 1024, make_hub(7));
  EXPECT_EQ(one.digest(), two.digest());
  EXPECT_EQ(to_text(one, tensors, make_hub(7)), to_text(two, tensors, make_hub(7)));
}

// Workers and hub of different builds compare digests: the function must never change unnoticed.
// The number comes from a second implementation, in Python.
TEST(ChunkMapTest, DigestIsPinned) {
  const std::vector<TensorSpec> tensors = {{.name = "w", .count = 1000}, {.name = "b", .count = 3}};
  EXPECT_EQ(must_build(tensors, 64, make_hub(3)).digest(), 16362188383244567845u);
}

TEST(ChunkMapTest, DigestChangesWithEveryFieldOfAChunk) {
  const std::vector<TensorSpec> tensors = {{.name = "w", .count = 1000}};
  const ChunkMap map = must_build(tensors, 64, make_hub(3));
  const auto changed = [&map](auto change) {
    ChunkMap other = map;
    change(ChunkMapBreaker::chunks(other)[5]);
    return other.digest() != map.digest();
  };
  EXPECT_TRUE(changed([](Chunk& chunk) { ++chunk.tensor; }));
  EXPECT_TRUE(changed([](Chunk& chunk) { ++chunk.first_element; }));
  EXPECT_TRUE(changed([](Chunk& chunk) { --chunk.element_count; }));
  EXPECT_TRUE(changed([](Chunk& chunk) { ++chunk.shard; }));
  EXPECT_TRUE(changed([](Chunk& chunk) { ++chunk.nic; }));
  EXPECT_TRUE(changed([](Chunk& chunk) { ++chunk.slot; }));
  // More shards than chunks: only their number differs.
  EXPECT_NE(must_build(tensors, 1024, make_hub(3)).digest(),
            must_build(tensors, 1024, make_hub(4)).digest());
}

TEST(ChunkMapTest, VerifyFindsGapsOverlapsAndSharedSlots) {
  const std::vector<TensorSpec> tensors = {{.name = "w", .count = 1000}, {.name = "v", .count = 9}};
  const ChunkMap map = must_build(tensors, 64, make_hub(3));
  const auto broken = [&](auto damage) {
    ChunkMap other = map;
    damage(other);
    const Status status = other.verify(tensors);
    return status.code() == Code::internal && !status.message().empty();
  };
  using Breaker = ChunkMapBreaker;
  EXPECT_FALSE(broken([](ChunkMap&) {}));
  EXPECT_TRUE(broken([](ChunkMap& m) { Breaker::chunks(m)[3].first_element += 64; }));
  EXPECT_TRUE(broken([](ChunkMap& m) { Breaker::chunks(m)[3].first_element -= 64; }));
  EXPECT_TRUE(broken([](ChunkMap& m) { Breaker::chunks(m)[15].element_count -= 1; }));
  EXPECT_TRUE(broken([](ChunkMap& m) { Breaker::chunks(m)[3].tensor = 1; }));
  EXPECT_TRUE(broken([](ChunkMap& m) { Breaker::chunks(m)[3].slot = 0; }));
  EXPECT_TRUE(broken([](ChunkMap& m) { Breaker::chunks(m)[3].shard = 2; }));
  EXPECT_TRUE(broken([](ChunkMap& m) { Breaker::by_shard(m)[1][0] = 0; }));
  EXPECT_TRUE(broken([](ChunkMap& m) { Breaker::by_shard(m)[1].pop_back(); }));
  EXPECT_TRUE(broken([](ChunkMap& m) { ++Breaker::shard_elements(m)[2]; }));
}

TEST(ChunkMapTest, VerifyComparesWithTheTableItIsGiven) {
  const std::vector<TensorSpec> tensors = {{.name = "w", .count = 1000}};
  const std::vector<TensorSpec> longer = {{.name = "w", .count = 1001}};
  const std::vector<TensorSpec> more = {{.name = "w", .count = 1000}, {.name = "b", .count = 1}};
  const ChunkMap map = must_build(tensors, 64, make_hub(2));
  EXPECT_EQ(map.verify(longer).code(), Code::internal);
  EXPECT_EQ(map.verify(more).code(), Code::internal);
  EXPECT_EQ(ChunkMap().verify(tensors).code(), Code::internal);
}

// Ten NICs on two sockets, as in the paper's appliance.
TEST(ChunkMapTest, ChunksUseANicOfTheirShardsSocketAndAllNicsAreUsed) {
  HubShape hub;
  for (uint32_t core = 0; core < 28; ++core) {
    hub.shards.push_back({.numa_node = core / 14, .core = static_cast<int>(core)});
  }
  for (uint32_t nic = 0; nic < 10; ++nic) {
    hub.nics.push_back({.name = "mlx5_" + std::to_string(nic), .numa_node = nic / 5});
  }
  const std::vector<TensorSpec> tensors = {{.name = "w", .count = 3'000'000}};
  const ChunkMap map = must_build(tensors, 8192, hub);
  std::set<uint32_t> used;
  for (const Chunk& chunk : map.chunks()) {
    EXPECT_EQ(hub.nics[chunk.nic].numa_node, hub.shards[chunk.shard].numa_node);
    used.insert(chunk.nic);
  }
  EXPECT_EQ(used.size(), 10u);
  const std::string text = to_text(map, tensors, hub);
  EXPECT_NE(text.find("mlx5_9"), std::string::npos);
  EXPECT_EQ(static_cast<size_t>(std::count(text.begin(), text.end(), '\n')),
            map.chunks().size() + 4 + hub.nics.size());
}

TEST(ChunkMapTest, ASocketWithoutNicsUsesThoseOfTheOther) {
  HubShape hub{.shards = {{.numa_node = 0}, {.numa_node = 1}, {.numa_node = 1}},
               .nics = {{.name = "a", .numa_node = 0}, {.name = "b", .numa_node = 0}}};
  const std::vector<TensorSpec> tensors = {{.name = "w", .count = 64 * 9}};
  std::set<uint32_t> used;
  const ChunkMap map = must_build(tensors, 64, hub);
  for (const Chunk& chunk : map.chunks()) used.insert(chunk.nic);
  EXPECT_EQ(used.size(), 2u);
}

TEST(ChunkMapTest, TensorsAboveFourGibibytesAreCut) {
  const uint64_t count = (uint64_t{1} << 32) + 5;
  const std::vector<TensorSpec> tensors = {{.name = "huge", .count = count}};
  const ChunkMap map = must_build(tensors, 4'194'304, make_hub(4));
  EXPECT_EQ(map.chunks().size(), 1025u);
  EXPECT_EQ(map.chunks().back().first_element, uint64_t{1} << 32);
  EXPECT_EQ(map.chunks().back().element_count, 5u);
}

TEST(ChunkMapTest, ImpossibleTablesAreRefusedWithTheReason) {
  const auto refusal = [](std::vector<TensorSpec> tensors, uint32_t chunk_elements,
                          uint32_t shard_count) {
    const auto map = ChunkMap::build(tensors, chunk_elements, make_hub(shard_count));
    EXPECT_EQ(map.status().code(), Code::invalid_argument);
    return map.status().message();
  };
  const TensorSpec good{.name = "w", .count = 5};
  EXPECT_EQ(refusal({good, {.name = "empty", .count = 0}}, 64, 1),
            "tensor 1 \"empty\" has no elements; it needs at least 1");
  EXPECT_EQ(refusal({good}, 64, 0), "the hub has no shards");
  for (const uint32_t chunk_elements : {0u, 63u, 65u, 4'194'304u + 64u}) {
    EXPECT_EQ(refusal({good}, chunk_elements, 1),
              "chunk_elements = " + std::to_string(chunk_elements) +
                  "; use a multiple of 64 from 64 to 4194304");
  }
  // A few bytes of table must not ask for terabytes of map.
  const TensorSpec huge{.name = "huge", .count = UINT64_MAX};
  EXPECT_NE(refusal({huge, huge}, 64, 1).find("use larger chunks"), std::string::npos);
  const TensorSpec edge{.name = "edge", .count = uint64_t{kSlotCountMax} * 64 + 1};
  EXPECT_NE(refusal({edge}, 64, 1).find("16777216 chunks"), std::string::npos);
}

TEST(ChunkMapTest, AnEmptyTableIsBalanced) {
  const ChunkMap map = must_build({}, 64, make_hub(2));
  EXPECT_EQ(map.imbalance(), 1);
  EXPECT_TRUE(map.verify({}).ok());
}

TEST(TagTest, EveryFieldSurvivesTheRoundTrip) {
  for (const Verb verb : {Verb::push_pull, Verb::broadcast, Verb::pull}) {
    for (const uint32_t slot : {0u, 1u, kSlotCountMax - 1}) {
      for (uint32_t round = 0; round < 32; ++round) {
        const Tag tag = decode(encode({verb, round, slot}));
        EXPECT_EQ(tag.verb, verb);
        EXPECT_EQ(tag.round, round % 16);
        EXPECT_EQ(tag.slot, slot);
      }
    }
  }
}

TEST(ChunkMapTest, HubsGetEqualSharesWhateverTheirCores) {
  const std::vector<HubShape> hubs = {make_hub(1), make_hub(7), make_hub(2)};
  const HubShape joined = join_hubs(hubs);
  const std::vector<TensorSpec> tensors = {{.name = "w", .count = 64 * 300}};
  const ChunkMap map = must_build(tensors, 64, joined);
  EXPECT_TRUE(map.verify(tensors).ok());
  for (uint32_t hub = 0; hub < hubs.size(); ++hub) {
    const ShardRange range = shards_of(joined, hub);
    uint64_t elements = 0;
    for (uint32_t i = 0; i < range.count; ++i) elements += map.elements_of_shard(range.first + i);
    EXPECT_EQ(elements, 64u * 100) << "hub " << hub;
  }
}

TEST(ChunkMapTest, ShardsOfSeveralHubsUseTheirOwnNics) {
  HubShape one{.shards = {{.numa_node = 0}, {.numa_node = 1}}, .nics = {{.name = "nic"}}};
  const HubShape joined = join_hubs(std::vector<HubShape>{one, one, one});
  const std::vector<TensorSpec> tensors = {{.name = "w", .count = 64 * 60}};
  const ChunkMap map = must_build(tensors, 64, joined);
  for (const Chunk& chunk : map.chunks()) {
    EXPECT_EQ(joined.nics[chunk.nic].hub, joined.shards[chunk.shard].hub);
  }
  EXPECT_NE(to_text(map, tensors, joined).find("of 3 hubs"), std::string::npos);
}

TEST(HubShapeTest, AHubIsTheSamePartThatWasJoined) {
  HubShape second = make_hub(3);
  second.shards[1] = {.numa_node = 1, .core = 5};
  second.nics = {{.name = "mlx5_0", .numa_node = 1}};
  const HubShape joined = join_hubs(std::vector<HubShape>{make_hub(2), second});
  EXPECT_EQ(hub_count(joined), 2u);
  EXPECT_TRUE(part_of(joined, 0) == make_hub(2));
  EXPECT_TRUE(part_of(joined, 1) == second);
  EXPECT_TRUE(part_of(joined, 2) == HubShape());
  EXPECT_EQ(shards_of(joined, 1).first, 2u);
  EXPECT_EQ(shards_of(joined, 1).count, 3u);
  EXPECT_TRUE(check_shape(joined).ok());
}

TEST(HubShapeTest, HubsThatDoNotCountUpAreRefused) {
  HubShape shape = join_hubs(std::vector<HubShape>{make_hub(2), make_hub(2)});
  std::swap(shape.shards[1], shape.shards[2]);
  EXPECT_EQ(check_shape(shape).code(), Code::invalid_argument);
  shape = make_hub(2);
  shape.shards[1].hub = 2;
  EXPECT_EQ(check_shape(shape).code(), Code::invalid_argument);
  shape = make_hub(1);
  shape.nics = {{.name = "nic", .numa_node = 0, .hub = 1}};
  EXPECT_EQ(check_shape(shape).code(), Code::invalid_argument);
  shape = make_hub(kHubCountMax + 1);
  for (uint32_t i = 0; i < shape.shards.size(); ++i) shape.shards[i].hub = i;
  EXPECT_EQ(check_shape(shape).code(), Code::invalid_argument);
}

}  // namespace
}  // namespace phub::exchange
