// FaultyFabric: any fabric, with what the contract allows and a quiet network seldom does: repeats,
// late and reordered events, puts taken in parts, wakeups for nothing, links lost on command.
//
// All drawn from one seed. It breaks no promise of fabric.h, so whatever runs above must not
// notice. Thread-safety and allocation: as the fabric inside.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "transport/fabric.h"

namespace phub::transport {

struct FaultyOptions {
  uint64_t seed = 1;
  double repeat = 0;            // Probability that an arrival comes once more, with stale bytes.
  double hold = 0;              // Probability that an event comes some polls later.
  uint32_t hold_polls_max = 4;  // At most so many.
  double partial_put = 0;       // Probability that put() takes only the first few.
  double spurious_wake = 0;     // Probability that arm() says no although nothing has come.
};

class FaultyFabric final : public Fabric {
 public:
  FaultyFabric(std::unique_ptr<Fabric> inner, const FaultyOptions& options);

  // The next poll reports the link lost; nothing passes it any more. The peer learns of it when
  // the link is closed.
  void lose(LinkId link, std::string reason);

  std::string_view name() const override { return inner_->name(); }
  Traits traits() const override { return inner_->traits(); }
  Result<std::span<std::byte>> allocate(size_t bytes) override { return inner_->allocate(bytes); }
  Status register_memory(std::span<std::byte> memory, uint64_t domain) override {
    return inner_->register_memory(memory, domain);
  }
  void deregister_memory(std::span<std::byte> memory) override {
    inner_->deregister_memory(memory);
  }
  Result<LinkId> open(const LinkOptions& options, Bootstrap* offer) override;
  Status accept(LinkId link, Bootstrap answer) override;
  Result<LinkId> connect(const LinkOptions& options, Bootstrap offer, Bootstrap* answer) override;
  void close(LinkId link) override;
  std::string lost_reason(LinkId link) const override;
  std::byte* window(LinkId link, uint32_t slot) override { return inner_->window(link, slot); }
  size_t put(std::span<const Put> puts) override;
  size_t poll(Instant now, std::span<Event> events) override;
  void release(const Event& event) override;
  int fd() const override { return inner_->fd(); }
  bool arm() override;
  void disarm() override { inner_->disarm(); }
  Instant next_deadline() const override;
  void want(LinkId link, uint32_t count) override { inner_->want(link, count); }
  std::span<const RailCounters> rails() const override { return inner_->rails(); }
  std::vector<std::string> choices() const override { return inner_->choices(); }
  const PacketCounters* packets() const override { return inner_->packets(); }

 private:
  struct Link {
    size_t puts_max = 0;      // Both ways together.
    std::string lost_reason;  // Not empty: lost on command.
    bool is_reported = false;
  };
  struct Held {
    Event event;
    uint32_t polls = 0;  // Comes when this is 0.
  };
  // An unreleased arrival of the fabric inside, under a cookie of our own: repeats need one, too.
  struct Arrival {
    Event event;
    uint32_t generation = 0;
    bool is_used = false;
  };

  void add_link(LinkId link, const LinkOptions& options);
  bool is_lost(LinkId link) const;
  void forget(LinkId link);
  bool hold(const Event& event);
  uint32_t draw_polls();
  bool draw_repeat(const Event& event);
  uint64_t keep(const Event& event);
  size_t report_losses(std::span<Event> events);
  size_t take_inner(Instant now, std::span<Event> events);
  size_t take_held(std::span<Event> events);

  std::unique_ptr<Fabric> inner_;
  FaultyOptions options_;
  base::Random random_;
  Instant last_poll_{0};
  std::vector<Link> links_;
  std::vector<Held> held_;  // Never beyond its capacity, which links reserve.
  std::vector<Arrival> arrivals_;
  std::vector<uint32_t> free_arrivals_;
  uint32_t lost_unreported_count_ = 0;
};

}  // namespace phub::transport
