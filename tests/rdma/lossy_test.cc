// Goal: over RDMA, every sum is exact and nothing hangs, whatever the network does to packets,
// devices to queue pairs, and the contract to events; also on links that are lost and made again.
// Method: a hub that adds what two workers push and answers with the sum, over soft-RoCE devices
// whose cables lose, double, delay and reorder packets; 100 seeds, each with other numbers, on one
// rail or two, with fabrics that repeat and hold events, cut links and break queue pairs.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <thread>

#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"
#include "tests/rdma/cables.h"
#include "transport/faulty.h"
#include "transport/verbs.h"

namespace phub::rdma {
namespace {

using namespace transport;

constexpr uint32_t kWorkers = 2;
constexpr uint32_t kChunks = 4;
constexpr uint32_t kFloats = 1'500;  // Two packets a chunk.
constexpr uint32_t kBytes = kFloats * sizeof(float);
constexpr uint32_t kRounds = 5;
constexpr uint32_t kTags = kChunks * kRounds;  // A tag is round * kChunks + chunk.
constexpr uint64_t kSeeds = 100;

float gradient(uint32_t worker, uint32_t tag, uint32_t i) {
  return static_cast<float>((worker + 1) * ((i + 7 * tag) % 1'000));
}

struct End {
  VerbsFabric* verbs = nullptr;  // Inside of `fabric`.
  std::unique_ptr<FaultyFabric> fabric;
  std::vector<LinkId> links;  // The hub's: one for each worker.
  std::span<std::byte> memory;

  End(std::vector<std::string> devices, uint32_t slot_count) {
    config::RdmaOptions options;
    options.devices = std::move(devices);
    options.timeout = 10;  // 4 ms: what is lost here need not be waited for long.
    options.retries = 3;
    auto made = VerbsFabric::make(options);
    PHUB_CHECK(made.ok());
    verbs = static_cast<VerbsFabric*>(made->get());
    const FaultyOptions faults{.repeat = 0.1, .hold = 0.2, .partial_put = 0.1};
    fabric = std::make_unique<FaultyFabric>(std::move(made).value(), faults);
    memory = *fabric->allocate(size_t{kBytes} * slot_count);
  }
  float* slot(uint32_t index) const {
    return reinterpret_cast<float*>(memory.data() + size_t{index} * kBytes);
  }
};

// A hub and its workers, for many exchanges: to open a device takes longer than one of those.
struct Machines {
  explicit Machines(uint32_t rail_count)
      : rails(rail_count),
        hub(rail_count == 1 ? Names{"rxe0"} : Names{"rxe0", "rxe1"}, (kWorkers + kTags) * kChunks) {
    for (const Names& names : {Names{"rxe2", "rxe3"}, Names{"rxe3", "rxe2"}}) {
      workers.emplace_back(rail_count == 1 ? Names{names[0]} : names, 2 * kTags);
    }
    hub.links.resize(kWorkers);
    for (End& worker : workers) worker.links.resize(1);
  }
  using Names = std::vector<std::string>;
  uint32_t rails;
  End hub;
  std::vector<End> workers;
};

// What a seed draws.
struct Plan {
  explicit Plan(uint64_t seed) : random(seed) {
    const auto percent = [&](uint64_t most) {
      return std::to_string(random.below(10 * most) / 10.0) + "%";
    };
    const uint64_t delay_us = random.below(800);
    netem = "loss " + percent(5) + " duplicate " + percent(5) + " delay " +
            std::to_string(delay_us) + "us " + std::to_string(random.below(delay_us + 1)) + "us";
    const auto moment = [&] { return 1 + random.below(kWorkers * kTags - 2); };
    cut_at = seed % 5 == 0 ? moment() : 0;
    break_at = seed % 3 == 0 ? moment() : 0;
  }
  base::Random random;
  std::string netem;
  uint64_t cut_at = 0;    // A link, when so many answers have come; 0: not.
  uint64_t break_at = 0;  // A queue pair.
};

class Exchange {
 public:
  Exchange(Machines& machines, const Plan& plan)
      : plan_(plan), rails_(machines.rails), hub_(machines.hub), workers_(machines.workers) {
    std::fill(hub_.memory.begin(), hub_.memory.end(), std::byte{0});
    for (uint32_t i = 0; i < kWorkers; ++i) join(i);
  }
  ~Exchange() {
    for (uint32_t i = 0; i < kWorkers; ++i) leave(i);
  }

  // How far it came if it came to no end; else empty.
  std::string run() {
    const base::Instant end = base::now() + std::chrono::seconds(30);
    for (uint32_t i = 0; i < kWorkers; ++i) push_what_is_due(i);
    while (done_[0].size() + done_[1].size() < kWorkers * kTags) {
      poll_hub();
      for (uint32_t i = 0; i < kWorkers; ++i) poll_worker(i);
      std::this_thread::yield();
      if (testing::Test::HasFailure()) return "";
      if (base::now() > end) return where();
    }
    return "";
  }

 private:
  void join(uint32_t worker) {
    const auto options = [&](const End& end, uint32_t first) {
      LinkOptions made;
      for (uint32_t i = 0; i < kChunks; ++i) {
        made.slots.push_back({reinterpret_cast<std::byte*>(end.slot(first + i)), kBytes});
        made.rails.push_back(static_cast<uint8_t>(i % rails_));
      }
      made.peer_slot_count = kChunks;
      made.acceptor_puts_max = made.connector_puts_max = 2 * kTags;
      made.tag_slot_mask = kChunks - 1;
      made.peer = "worker " + std::to_string(worker);
      return made;
    };
    End& end = workers_[worker];
    Bootstrap offer, answer;
    const auto opened = hub_.fabric->open(options(hub_, worker * kChunks), &offer);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    const auto connected = end.fabric->connect(options(end, 0), std::move(offer), &answer);
    ASSERT_TRUE(connected.ok()) << connected.status().message();
    ASSERT_TRUE(hub_.fabric->accept(*opened, std::move(answer)).ok());
    hub_.links[worker] = *opened;
    end.links[0] = *connected;
  }
  void leave(uint32_t worker) {
    hub_.fabric->close(hub_.links[worker]);
    workers_[worker].fabric->close(workers_[worker].links[0]);
  }
  // The link was lost: what is not done goes again by a new one.
  void join_again(uint32_t worker) {
    leave(worker);
    join(worker);
    pushed_[worker] = done_[worker];
    push_what_is_due(worker);
  }

  static void put(End& end, LinkId link, uint32_t tag, const float* data) {
    const Put one{.link = link,
                  .slot = tag % kChunks,
                  .tag = tag,
                  .bytes = kBytes,
                  .data = reinterpret_cast<const std::byte*>(data)};
    for (int i = 0; i < 1'000; ++i) {  // Those who take only a part may take none.
      if (end.fabric->put({&one, 1}) == 1) return;
    }
    FAIL() << "no room for a put";
  }
  // A chunk's next round begins when its last is done.
  void push_what_is_due(uint32_t worker) {
    for (uint32_t tag = 0; tag < kTags; ++tag) {
      const bool is_due = tag < kChunks || done_[worker].contains(tag - kChunks);
      if (!is_due || !pushed_[worker].insert(tag).second) continue;
      float* const data = workers_[worker].slot(kTags + tag);
      for (uint32_t i = 0; i < kFloats; ++i) data[i] = gradient(worker, tag, i);
      put(workers_[worker], workers_[worker].links[0], tag, data);
    }
  }

  void poll_hub() {
    std::array<Event, 8> events;
    const size_t count = hub_.fabric->poll(base::now(), events);
    bool is_lost = false;
    for (const Event& event : std::span(events).first(count)) {
      const uint32_t worker = event.link == hub_.links[0] ? 0 : 1;
      if (event.kind == EventKind::arrived) add(worker, event);
      if (event.kind != EventKind::lost) continue;
      ASSERT_EQ(worker, joined_again_) << hub_.fabric->lost_reason(event.link);
      is_lost = true;
    }
    if (is_lost) join_again(joined_again_);
  }
  void add(uint32_t worker, const Event& event) {
    ASSERT_LT(event.tag, kTags);
    float* const sum = hub_.slot(kWorkers * kChunks + event.tag);
    if ((arrived_[event.tag] >> worker & 1) == 0) {
      const float* const from = reinterpret_cast<const float*>(event.data);
      for (uint32_t i = 0; i < kFloats; ++i) sum[i] += from[i];
      arrived_[event.tag] |= 1u << worker;
      hub_.fabric->release(event);
      if (arrived_[event.tag] != (1u << kWorkers) - 1) return;
      for (uint32_t i = 0; i < kWorkers; ++i) put(hub_, hub_.links[i], event.tag, sum);
      return;
    }
    hub_.fabric->release(event);
    // A repeat; or pushed again by a link made anew, to whose worker the answer may be lost.
    const bool is_complete = arrived_[event.tag] == (1u << kWorkers) - 1;
    if (is_complete && joined_again_ == worker) put(hub_, hub_.links[worker], event.tag, sum);
  }

  void poll_worker(uint32_t worker) {
    std::array<Event, 8> events;
    End& end = workers_[worker];
    const size_t count = end.fabric->poll(base::now(), events);
    for (const Event& event : std::span(events).first(count)) {
      ASSERT_NE(event.kind, EventKind::lost) << end.fabric->lost_reason(event.link);
      if (event.kind != EventKind::arrived) continue;
      check(worker, event);
      end.fabric->release(event);
      push_what_is_due(worker);
      do_harm();
    }
  }
  void check(uint32_t worker, const Event& event) {
    ASSERT_LT(event.tag, kTags);
    if (!done_[worker].insert(event.tag).second) return;
    const float* const sum = reinterpret_cast<const float*>(event.data);
    for (uint32_t i = 0; i < kFloats; ++i) {
      ASSERT_EQ(sum[i], gradient(0, event.tag, i) + gradient(1, event.tag, i))
          << "worker " << worker << ", tag " << event.tag << ", element " << i;
    }
  }

  void do_harm() {
    const auto done = static_cast<uint32_t>(done_[0].size() + done_[1].size());
    if (plan_.break_at != 0 && done >= plan_.break_at) {
      plan_.break_at = 0;
      hub_.verbs->force_error(hub_.links[plan_.random.below(kWorkers)], done % rails_);
    }
    if (plan_.cut_at != 0 && done >= plan_.cut_at) {
      plan_.cut_at = 0;
      joined_again_ = static_cast<uint32_t>(plan_.random.below(kWorkers));
      hub_.fabric->lose(hub_.links[joined_again_], "cut on command");
    }
  }
  std::string where() const {
    std::string text = "done " + std::to_string(done_[0].size()) + " and " +
                       std::to_string(done_[1].size()) + " of " + std::to_string(kTags) + ":";
    for (const uint32_t bits : arrived_) text += " " + std::to_string(bits);
    return text;
  }

  Plan plan_;
  const uint32_t rails_;
  End& hub_;
  std::vector<End>& workers_;
  std::array<uint32_t, kTags> arrived_ = {};  // Bits by worker.
  std::array<std::set<uint32_t>, kWorkers> pushed_;
  std::array<std::set<uint32_t>, kWorkers> done_;
  uint32_t joined_again_ = kWorkers;
};

TEST(RdmaLossyTest, EverySumIsExactAndNothingHangs) {
  const std::vector<uint32_t> devices = {0, 1, 2, 3};
  const std::string why = Cables::why_unavailable(static_cast<uint32_t>(devices.size()));
  if (!why.empty()) GTEST_SKIP() << why;
  Cables cables;
  std::array<Machines, 2> machines = {Machines(1), Machines(2)};
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const Plan plan(seed);
    SCOPED_TRACE("seed " + std::to_string(seed) + ", netem " + plan.netem);
    cables.harm(devices, plan.netem);
    Exchange exchange(machines[seed % 2], plan);
    ASSERT_EQ(exchange.run(), "");
    if (HasFailure()) return;
  }
  EXPECT_GT(machines[1].hub.fabric->rails()[0].repairs.get(), 0u);
}

}  // namespace
}  // namespace phub::rdma
