// One contract, every fabric: what a fabric must bring to be put through conformance_test.
//
// A fabric joins with one file in the program `conformance_test`:
//
//   class MyPair final : public FabricPair { ... };
//   INSTANTIATE_FABRIC_CONFORMANCE(my, [] { return std::make_unique<MyPair>(); }, "");
//
// The last argument says why the fabric cannot run on this machine; empty: it can.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "transport/fabric.h"

namespace phub::transport {

constexpr size_t kConnectorCount = 3;

// One acceptor and kConnectorCount connectors, all driven by the test's thread.
class FabricPair {
 public:
  virtual ~FabricPair() = default;
  virtual Fabric& acceptor() = 0;
  virtual Fabric& connector(size_t index) = 0;
  // Lets time pass until something may have changed. Called between rounds of polls.
  virtual void settle() = 0;
  virtual Instant now() = 0;
  // fd() wakes. Simulated fabrics have no descriptor.
  virtual bool has_descriptor() const { return true; }
  // fd() is a timer: it also wakes for nothing, and not at once.
  virtual bool wakes_by_timer() const { return false; }
  virtual bool allocates_on_data_path() const { return false; }
  // put() takes whatever fits; it never says "full" before.
  virtual bool takes_whole_batches() const { return true; }
  // LinkOptions::tag_slot_mask of all links.
  virtual uint32_t tag_slot_mask() const { return 0; }
  // Puts take the rail (slot % rail_count()).
  virtual uint32_t rail_count() const { return 1; }
  // What a checking fabric has against the test itself; empty: nothing.
  virtual std::string violations() const { return {}; }
};

struct FabricCase {
  std::string name;
  std::function<std::unique_ptr<FabricPair>()> make;
  std::string skip_reason;
};
void PrintTo(const FabricCase& fabric, std::ostream* out);

#define INSTANTIATE_FABRIC_CONFORMANCE(suite, maker, skipped_because)                   \
  INSTANTIATE_TEST_SUITE_P(suite, FabricConformance,                                    \
                           testing::Values(FabricCase{#suite, maker, skipped_because}), \
                           [](const auto& instance) { return instance.param.name; })

// Slots [0, count) of `bytes` each, with guard bytes between them that nobody may touch.
class SlotArea {
 public:
  static constexpr uint32_t kGuardBytes = 64;
  // memory: at least bytes_needed(). Null: slots without memory (by reference).
  static size_t bytes_needed(uint32_t count, uint32_t bytes);
  SlotArea() = default;
  SlotArea(std::byte* memory, uint32_t count, uint32_t bytes);
  std::vector<Slot> slots() const;
  std::byte* slot(uint32_t index) const { return memory_ + offset(index); }
  bool are_guards_whole() const;

 private:
  size_t offset(uint32_t index) const { return kGuardBytes + size_t{index} * stride_; }
  std::byte* memory_ = nullptr;
  uint32_t count_ = 0;
  uint32_t bytes_ = 0;
  size_t stride_ = 0;
};

struct LinkShape {
  uint32_t slot_count = 4;  // Each way.
  uint32_t slot_bytes = 4096;
  uint32_t puts_max = 8;  // Each way.
};

// One half of a link, with its memory and what has come out of poll() for it.
struct Half {
  Fabric* fabric = nullptr;
  LinkId link{0};
  LinkShape shape;
  SlotArea slots;   // Where the peer's puts land.
  SlotArea source;  // What this side's puts send: one piece per slot of the peer.
  std::vector<Event> arrived;
  std::vector<uint64_t> sent;
  uint32_t lost_count = 0;
};

class FabricConformance : public testing::TestWithParam<FabricCase> {
 protected:
  void SetUp() override;
  void TearDown() override;

  Fabric& acceptor() { return pair_->acceptor(); }
  Traits traits() { return acceptor().traits(); }
  // A link between the acceptor and one connector; its halves live until the test ends.
  struct Joined {
    Half* hub = nullptr;
    Half* worker = nullptr;
  };
  Joined join(size_t connector, const LinkShape& shape);
  LinkOptions options_for(Half& half);  // Allocates, too.
  void close(Half& half);

  // Polls once and sorts the events into their halves.
  void poll(Fabric& fabric);
  // Polls everything once; then settles.
  void step();
  // Steps until `is_done`; fails the test when nothing comes of it.
  bool step_until(const std::function<bool()>& is_done);

  // Bytes that depend on tag and position.
  static std::byte pattern(uint32_t tag, uint32_t i);
  static bool is_pattern(const Event& event);
  // The put of pattern(tag); from the window if `by_window` and there is one.
  Put make_put(Half& from, uint32_t slot, uint32_t tag, uint32_t bytes, bool by_window = false);
  void put(const Put& put, Half& from);  // Until taken.
  // Waits for the tag, checks the payload, releases all repeats. Fails the test if it is wrong.
  void expect_arrival(Half& at, uint32_t tag, uint32_t bytes);
  void release_all(Half& at);
  void release_repeats();  // Of all halves, when nothing else can be waiting there.

  std::unique_ptr<FabricPair> pair_;
  std::vector<std::unique_ptr<Half>> halves_;
};

}  // namespace phub::transport
