// The verbs fabric: InfiniBand, RoCE and soft-RoCE through libibverbs, which is loaded at run time.
//
// What each part does: verbs_library (the functions), verbs_device, verbs_gid, verbs_path and
// verbs_event (ports and addresses), verbs_rail (a device as one fabric uses it), verbs_memory
// (registration), verbs_queue (a queue pair), verbs_link (queue pairs of a link, how they are
// mended), verbs_mail, verbs_letter and verbs_farewell (what the ends say outside the queue pairs),
// verbs_ways (addresses are looked for on another thread), verbs_bootstrap (what the session
// carries), verbs_text (what errors mean). This class joins them.
//
//   Queue pairs   Reliable ones, RdmaOptions::queue_pairs per link and rail; the acceptor's count.
//   Rails         The acceptor's; the connector's are taken round. A put takes its slot's rail.
//   Isolation     One protection domain per (LinkOptions::domain, device), one key per link's
//                 slots, for remote writes only; memory windows bound to the queue pair where the
//                 device has them. Who writes elsewhere is refused by the device and loses his own
//                 link.
//   Exactly once  Also across queue pairs that failed: verbs_link.h.
#pragma once

#include <memory>
#include <vector>

#include "base/fd.h"
#include "base/memory.h"
#include "transport/fabric.h"
#include "transport/verbs_link.h"
#include "transport/verbs_rail.h"

namespace phub::transport {

class VerbsFabric final : public Fabric {
 public:
  // unavailable: no libibverbs, or all ports are down; not_found: no such device or address;
  // permission_denied, resource_exhausted. The message says what to do.
  static Result<std::unique_ptr<Fabric>> make(const config::RdmaOptions& options);
  ~VerbsFabric() override;

  std::string_view name() const override { return "verbs"; }
  Traits traits() const override { return {}; }
  Result<std::span<std::byte>> allocate(size_t bytes) override;
  Status register_memory(std::span<std::byte> memory, uint64_t domain) override;
  void deregister_memory(std::span<std::byte> memory) override;
  Result<LinkId> open(const LinkOptions& options, Bootstrap* offer) override;
  Status accept(LinkId link, Bootstrap answer) override;
  Result<LinkId> connect(const LinkOptions& options, Bootstrap offer, Bootstrap* answer) override;
  void close(LinkId link) override;
  std::string lost_reason(LinkId link) const override;
  std::byte* window(LinkId, uint32_t) override { return nullptr; }

  size_t put(std::span<const Put> puts) override;
  size_t poll(Instant now, std::span<Event> events) override;
  void release(const Event&) override {}  // A slot is its owner's until the peer's next put to it.

  int fd() const override { return epoll_.get(); }
  bool arm() override;
  void disarm() override;
  Instant next_deadline() const override { return timers_at_; }
  std::span<const RailCounters> rails() const override {
    return {counters_.get(), by_name_.size()};
  }

  // Each rail's address and why: "mlx5_0: index 3, 10.1.0.7: RoCE v2, IPv4"; and the devices that
  // are not used.
  std::vector<std::string> choices() const override;

  // For tests of failures. The queue pair of this number (rail * queue_pairs + i) goes into error;
  // the keys to the link's slots are taken back.
  void force_error(LinkId link, uint32_t queue) { at(link).force_error(queue); }
  void revoke_keys(LinkId link) { at(link).revoke_keys(); }

 private:
  explicit VerbsFabric(const config::RdmaOptions& options) : options_(options) {}
  Status start();
  Status watch(int fd);
  VerbsLink& at(LinkId link) const;
  LinkId free_id() const;
  void keep(std::unique_ptr<VerbsLink> link);
  size_t poll_rail(VerbsRail& rail, std::span<Event> events);
  size_t deal_with_taken(VerbsRail& rail, std::span<Event> events);
  void deliver(const VerbsLetter& letter);
  void take_ways(const VerbsRail& rail);
  void take_async_events(VerbsRail& rail);
  void deal_with(VerbsRail& rail, const struct VerbsEvent& event);
  void give_up(VerbsRail& rail, const char* why);
  void run_timers(Instant now);

  const config::RdmaOptions options_;
  base::Fd epoll_;
  VerbsMemory memory_;
  std::vector<base::Mapping> owned_;
  std::unique_ptr<RailCounters[]> counters_;
  std::vector<std::unique_ptr<VerbsRail>> rails_;
  // As LinkOptions::rails counts them. In the place of one that was left out another serves, so
  // that the numbers of the rest stay what they are.
  std::vector<VerbsRail*> by_name_;
  std::vector<std::string> rails_left_out_;  // Why.
  std::vector<std::unique_ptr<VerbsFarewell>> farewells_;
  std::vector<VerbsPlace> numbers_;                // By the number of a queue pair.
  std::vector<std::unique_ptr<VerbsLink>> links_;  // By LinkId; null if free.
  Instant timers_at_{INT64_MAX};                   // Without links there is nothing to do.
  size_t report_from_ = 0;
  size_t rail_from_ = 0;
};

}  // namespace phub::transport
