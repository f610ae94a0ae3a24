// `phub-perf shard`: one shard, fed in process by many ranks over real shm links, against its
// kernels alone.
//
// What a shard adds to its kernels (events, chunk states, the work queue, replies) is its own cost
// per chunk event. Both loops walk the same memory in the same order, and take turns.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/clock.h"
#include "base/try.h"
#include "exchange/wire.h"
#include "kernels/finish.h"
#include "kernels/reduce.h"
#include "perf/arguments.h"
#include "perf/commands.h"
#include "perf/machine.h"
#include "perf/statistics.h"
#include "phub/shard.h"
#include "transport/open.h"

namespace phub::perf {
namespace {

constexpr Flag kFlags[] = {
    {"ranks", "ranks that feed the shard", "8,64"},
    {"chunks", "chunks per rank, of --chunk-elements each", "128"},
    {"chunk-elements", "float32 elements of a chunk", "8192"},
    {"rounds", "rounds of each loop; the median counts", "11"},
    {"json", "one JSON object a line instead of a table", "", true},
};

// One rank: its door to the shard and its memory.
struct Feeder {
  std::unique_ptr<transport::Fabric> fabric;
  transport::LinkId link = transport::LinkId{0};
  std::byte* gradients = nullptr;
  std::byte* results = nullptr;
};

class ShardBench {
 public:
  Status open(uint32_t ranks, uint32_t chunks, uint32_t chunk_elements) {
    ranks_ = ranks;
    chunk_bytes_ = chunk_elements * sizeof(float);
    auto epoch = std::make_shared<hub::Epoch>();
    epoch->job = hub::JobId{1};
    epoch->number = 1;
    epoch->rank_count = ranks;
    TensorSpec spec;
    spec.name = "bench";
    spec.count = uint64_t{chunks} * chunk_elements;
    epoch->tensors = {spec};
    epoch->states.resize(1);
    epoch->counters = std::vector<hub::JobCounters>(1);
    exchange::HubShape shape;
    shape.shards.resize(1);
    epoch->shards = {0, 1};
    PHUB_TRY_ASSIGN(epoch->map, exchange::ChunkMap::build(epoch->tensors, chunk_elements, shape));
    chunks_ = chunks;

    PHUB_TRY_ASSIGN(std::unique_ptr<transport::Fabric> acceptor, transport::open_fabric("shm"));
    std::vector<std::unique_ptr<transport::Fabric>> fabrics;
    fabrics.push_back(std::move(acceptor));
    shard_ = std::make_unique<hub::Shard>(0, std::move(fabrics), kernels::Stores::non_temporal,
                                          [](const hub::RankFault&) {});
    const std::vector<uint32_t> fabric_of_rank(ranks, 0);
    PHUB_TRY_ASSIGN(std::vector<transport::Bootstrap> offers,
                    shard_->install(epoch, fabric_of_rank));
    for (uint32_t rank = 0; rank < ranks; ++rank) PHUB_TRY(join(rank, std::move(offers[rank])));
    shard_->start(hub::JobId{1});
    accumulator_.resize(chunk_elements);
    return {};
  }

  // Microseconds of the shard's polls for one round of every chunk.
  double exchange_us() {
    ++round_;
    std::vector<transport::Put> puts(chunks_);
    for (Feeder& feeder : feeders_) {
      for (uint32_t slot = 0; slot < chunks_; ++slot) {
        puts[slot] = {feeder.link,
                      slot,
                      exchange::encode({exchange::Verb::push_pull, round_, slot}),
                      static_cast<uint32_t>(chunk_bytes_),
                      feeder.gradients + slot * chunk_bytes_,
                      slot};
      }
      PHUB_CHECK(feeder.fabric->put(puts) == puts.size());
    }
    const uint64_t goal = shard_->counters().results.get() + chunks_;
    const base::Instant begin = base::now();
    while (shard_->counters().results.get() < goal) shard_->poll(begin);
    const double time_us = static_cast<double>((base::now() - begin).count()) / 1e3;
    drain();
    return time_us;
  }

  // The same sums and stores by the kernels alone.
  double kernels_us() {
    const base::Instant begin = base::now();
    for (uint32_t slot = 0; slot < chunks_; ++slot) sum_chunk(slot);
    kernels::fence(kernels::Stores::non_temporal);
    return static_cast<double>((base::now() - begin).count()) / 1e3;
  }

  // Every element must be the sum of 1 .. ranks, from both loops.
  uint64_t wrong() const {
    const float expected = static_cast<float>(ranks_) * static_cast<float>(ranks_ + 1) / 2;
    uint64_t count = 0;
    for (const Feeder& feeder : feeders_) {
      const auto* const values = reinterpret_cast<const float*>(feeder.results);
      for (uint64_t i = 0; i < chunks_ * chunk_bytes_ / sizeof(float); ++i) {
        count += values[i] != expected;
      }
    }
    return count;
  }

 private:
  Status join(uint32_t rank, transport::Bootstrap offer) {
    Feeder feeder;
    PHUB_TRY_ASSIGN(feeder.fabric, transport::open_fabric("shm"));
    PHUB_TRY_ASSIGN(const std::span<std::byte> gradients,
                    feeder.fabric->allocate(chunks_ * chunk_bytes_));
    PHUB_TRY_ASSIGN(const std::span<std::byte> results,
                    feeder.fabric->allocate(chunks_ * chunk_bytes_));
    feeder.gradients = gradients.data();
    feeder.results = results.data();
    std::fill_n(reinterpret_cast<float*>(feeder.gradients), gradients.size() / sizeof(float),
                static_cast<float>(rank + 1));
    transport::LinkOptions options;
    for (uint32_t slot = 0; slot < chunks_; ++slot) {
      options.slots.push_back(
          {feeder.results + slot * chunk_bytes_, static_cast<uint32_t>(chunk_bytes_)});
    }
    options.peer_slot_count = chunks_;
    options.acceptor_puts_max = options.connector_puts_max = exchange::puts_max(chunks_);
    transport::Bootstrap answer;
    PHUB_TRY_ASSIGN(feeder.link, feeder.fabric->connect(options, std::move(offer), &answer));
    feeders_.push_back(std::move(feeder));
    return shard_->accept(hub::JobId{1}, rank, std::move(answer));
  }

  void drain() {
    std::vector<transport::Event> events(64);
    for (Feeder& feeder : feeders_) {
      while (const size_t count = feeder.fabric->poll({}, events)) {
        for (size_t i = 0; i < count; ++i) {
          if (events[i].kind == transport::EventKind::arrived) feeder.fabric->release(events[i]);
        }
      }
    }
  }

  void sum_chunk(uint32_t slot) {
    std::vector<const void*>& sources = sources_;
    outputs_.clear();
    const uint64_t at = slot * chunk_bytes_;
    for (const Feeder& feeder : feeders_) outputs_.push_back(feeder.results + at);
    const uint32_t last = (ranks_ - 1) / kernels::kFoldSourcesMax * kernels::kFoldSourcesMax;
    for (uint32_t first = 0; first < ranks_; first += kernels::kFoldSourcesMax) {
      sources.clear();
      const uint32_t end = std::min<uint32_t>(ranks_, first + kernels::kFoldSourcesMax);
      for (uint32_t rank = first; rank < end; ++rank) {
        sources.push_back(feeders_[rank].gradients + at);
      }
      if (first == last) break;
      kernels::fold(DataType::fp32, ReduceOp::sum, sources, first > 0, accumulator_.data(),
                    accumulator_.size());
    }
    kernels::FinishInput input;
    input.sources = sources;
    input.accumulator = last > 0 ? accumulator_.data() : nullptr;
    input.contributor_count = ranks_;
    input.outputs = outputs_;
    input.count = accumulator_.size();
    kernels::finish(input);
  }

  uint32_t ranks_ = 0;
  uint32_t chunks_ = 0;
  uint64_t chunk_bytes_ = 0;
  uint32_t round_ = 0;
  std::unique_ptr<hub::Shard> shard_;
  std::vector<Feeder> feeders_;
  std::vector<float> accumulator_;
  std::vector<const void*> sources_;
  std::vector<void*> outputs_;
};

Result<bool> measure(const Arguments& arguments, uint32_t ranks) {
  PHUB_TRY_ASSIGN(const uint64_t chunks, arguments.number("chunks", 1, 1u << 20));
  PHUB_TRY_ASSIGN(const uint64_t elements, arguments.number("chunk-elements", 64, 1u << 22));
  PHUB_TRY_ASSIGN(const uint64_t rounds, arguments.number("rounds", 1, 1000));
  ShardBench bench;
  PHUB_TRY(bench.open(ranks, static_cast<uint32_t>(chunks), static_cast<uint32_t>(elements)));
  std::vector<double> shard_us, kernel_us;
  bench.exchange_us();  // Maps the pages.
  const uint64_t wrong = bench.wrong();
  for (uint64_t round = 0; round < rounds; ++round) {
    if (round % 2 == 0) shard_us.push_back(bench.exchange_us());
    kernel_us.push_back(bench.kernels_us());
    if (round % 2 == 1) shard_us.push_back(bench.exchange_us());
  }
  const double events = static_cast<double>(chunks * ranks);
  const double shard = median(shard_us);
  const double kernel = median(kernel_us);
  const double overhead_ns = (shard - kernel) * 1e3 / events;
  const double GBps = events * static_cast<double>(elements) * sizeof(float) / shard / 1e3;
  if (arguments.is_set("json")) {
    const nlohmann::ordered_json object = {{"ranks", ranks},
                                           {"chunks", chunks},
                                           {"chunk_elements", elements},
                                           {"shard_us_p50", shard},
                                           {"kernels_us_p50", kernel},
                                           {"percent_of_kernels", 100 * kernel / shard},
                                           {"ns_per_event", shard * 1e3 / events},
                                           {"overhead_ns_per_event", overhead_ns},
                                           {"GBps", GBps},
                                           {"wrong", wrong}};
    std::printf("%s\n", object.dump().c_str());
  } else {
    std::printf("%6u %8llu %12.1f %12.1f %10.1f %12.1f %12.1f %8.2f %7llu\n", ranks,
                static_cast<unsigned long long>(chunks), shard, kernel, 100 * kernel / shard,
                shard * 1e3 / events, overhead_ns, GBps, static_cast<unsigned long long>(wrong));
  }
  return wrong == 0;
}

}  // namespace

int run_shard(Words words) {
  if (print_help(words, "shard", kFlags)) return 0;
  const Result<Arguments> arguments = Arguments::parse(words, kFlags);
  if (!arguments.ok()) return fail(arguments.status());
  const Result<std::vector<uint64_t>> ranks = arguments->numbers("ranks", 1, kRankCountMax);
  if (!ranks.ok()) return fail(ranks.status());
  if (!arguments->is_set("json")) {
    const Machine machine = this_machine();
    std::printf("# %s, one shard on one thread, kernels on %s, PHub %s\n", machine.cpu.c_str(),
                kernels::isa_name(), machine.revision.c_str());
    std::printf("# an event is one rank's chunk; GB/s of gradients taken in, as many given out\n");
    std::printf("%6s %8s %12s %12s %10s %12s %12s %8s %7s\n", "# ranks", "chunks", "shard(us)",
                "kernels(us)", "%kernels", "ns/event", "overhead(ns)", "GB/s", "#wrong");
  }
  bool is_right = true;
  for (const uint64_t count : *ranks) {
    const Result<bool> measured = measure(*arguments, static_cast<uint32_t>(count));
    if (!measured.ok()) return fail(measured.status());
    is_right &= *measured;
  }
  return is_right ? 0 : 1;
}

}  // namespace phub::perf
