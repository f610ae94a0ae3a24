// A rail: one port of one RDMA device, as one fabric uses it. The context is the fabric's own, so
// that its completion queue is polled by the fabric's thread alone and no lock is shared.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "transport/fabric.h"
#include "transport/verbs_device.h"
#include "transport/verbs_mail.h"
#include "transport/verbs_memory.h"

namespace phub::transport {

class VerbsRail {
 public:
  static constexpr uint32_t kBatch = 32;  // Completions taken at once.

  // What is handed in outlives the rail.
  // Those of open_verbs_device; resource_exhausted: the device is used up.
  static Result<std::unique_ptr<VerbsRail>> open(const std::string& name,
                                                 const config::RdmaOptions& options,
                                                 const VerbsMemory& memory, RailCounters& counters);

  const VerbsDevice& device() const { return device_; }
  const config::RdmaOptions& options() const { return options_; }
  ibv_cq* completions() const { return completions_.get(); }
  int wake_fd() const { return channel_->fd; }
  int async_fd() const { return device_.context->async_fd; }
  VerbsMail& mail() { return *mail_; }
  RailCounters& counters() { return counters_; }

  // Asks the port again; afterwards new queue pairs use what it said. The errors of refresh_port().
  Status refresh();
  // Only if it may have changed: to read a table of addresses takes long.
  void note_change() { has_changed_ = true; }
  Status refresh_if_changed() { return has_changed_ ? refresh() : Status(); }

  // No completion will ever come again: the device is gone, or it is as good as gone.
  void give_up() { is_dead_ = true; }
  bool is_dead() const { return is_dead_; }
  // The device does not let its completions be taken.
  bool is_unreadable() const { return is_unreadable_; }

  // The domain of a job or of one link of it, made for its first link; every join needs a leave.
  Result<VerbsDomain*> join_domain(uint64_t id, uint64_t job);
  void leave_domain(VerbsDomain* domain);
  // Where the peers of connectors write: the range is a block, and the region all links'.
  Result<VerbsRegion> share_landing(VerbsDomain& domain, std::span<std::byte> block) const;
  // Domains have what is for them of the fabric's memory: before VerbsMemory::remove, after add.
  Status add_source(size_t place);
  void remove_source(size_t place);
  uint32_t source_key(const VerbsDomain& domain, const std::byte* data, uint32_t bytes) const;

  // Room in the completion queue. resource_exhausted: the device has no more. A queue pair that is
  // gone may have left completions behind: its room is free once the queue has been empty.
  Status reserve_completions(uint32_t count);
  void release_completions(uint32_t count) { completions_left_ += count; }

  // The completions that were taken last and not dealt with; take() only when there are none.
  std::span<const ibv_wc> taken() const { return std::span(taken_).subspan(taken_at_); }
  void deal_with(size_t count) { taken_at_ += count; }
  // Fewer than kBatch: the completion queue was empty.
  size_t take();
  uint64_t take_count() const { return take_count_; }
  // So many take all that was there before them, however much comes meanwhile.
  uint64_t takes_of_all() const { return static_cast<uint32_t>(completions_->cqe) / kBatch + 2; }

  // arm: the descriptor tells of the next completion; disarm: takes what it told.
  void arm();
  void disarm();

 private:
  VerbsRail(const config::RdmaOptions& options, const VerbsMemory& memory, RailCounters& counters)
      : options_(options), memory_(memory), counters_(counters) {}
  Status start();
  Result<VerbsPtr<ibv_mr>> source_of(const VerbsDomain& domain, size_t place) const;
  void absorb();
  void count_as_empty();

  const config::RdmaOptions& options_;
  const VerbsMemory& memory_;
  RailCounters& counters_;
  VerbsDevice device_;
  VerbsPtr<ibv_comp_channel> channel_;
  VerbsPtr<ibv_cq> completions_;
  bool can_grow_ = true;  // The completion queue.
  bool has_changed_ = false;
  bool is_dead_ = false;
  bool is_unreadable_ = false;
  uint32_t completions_reserved_ = 0;
  uint32_t completions_left_ = 0;  // Of those, what closed links may have left behind.
  std::vector<std::unique_ptr<VerbsDomain>> domains_;
  std::unique_ptr<VerbsMail> mail_;
  std::vector<ibv_wc> taken_;  // kBatch at most, except after absorb().
  uint64_t take_count_ = 0;
  size_t taken_at_ = 0;
};

}  // namespace phub::transport
