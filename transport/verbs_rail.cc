#include "transport/verbs_rail.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/fd.h"
#include "base/try.h"

namespace phub::transport {
namespace {

constexpr uint32_t kFirstCompletions = 256;
constexpr uint32_t kLinksWithoutGrowth = 64;
constexpr uint32_t kMostWithoutGrowth = 1 << 18;

bool make_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

}  // namespace

Result<std::unique_ptr<VerbsRail>> VerbsRail::open(const std::string& name,
                                                   const config::RdmaOptions& options,
                                                   const VerbsMemory& memory,
                                                   RailCounters& counters) {
  std::unique_ptr<VerbsRail> rail(new VerbsRail(options, memory, counters));
  PHUB_TRY_ASSIGN(rail->device_, open_verbs_device(name, options));
  if (Status status = rail->start(); !status.ok()) {
    return status.with_context("RDMA device " + name);
  }
  return rail;
}

Status VerbsRail::start() {
  const auto failed = [](const char* what) {
    return Status(Code::resource_exhausted, std::string(what) + ": " + base::errno_text());
  };
  ibv_context* const context = device_.context.get();
  taken_.reserve(kBatch);
  channel_.reset(verbs().create_comp_channel(context));
  if (channel_ == nullptr) return failed("make a completion channel");
  if (!make_nonblocking(channel_->fd) || !make_nonblocking(context->async_fd)) {
    return failed("make its descriptors nonblocking");
  }
  const auto make_completions = [&](uint32_t wanted) {
    completions_.reset();
    const uint32_t most = std::min(wanted, static_cast<uint32_t>(device_.limits.max_cqe));
    completions_.reset(
        verbs().create_cq(context, static_cast<int>(most), nullptr, channel_.get(), 0));
    return completions_ != nullptr;
  };
  if (!make_completions(kFirstCompletions)) return failed("make a completion queue");
  // Not every driver can enlarge one later: better to know that now, while it is not in use.
  const int more = std::min(2 * completions_->cqe, device_.limits.max_cqe);
  if (verbs().resize_cq(completions_.get(), more) != 0) {
    can_grow_ = false;
    const uint32_t of_link = (2 * options_.queue_depth + 64) * std::max(options_.queue_pairs, 1u);
    const uint32_t room = std::min(kLinksWithoutGrowth * of_link, kMostWithoutGrowth);
    if (!make_completions(room)) return failed("make a completion queue");
  }
  PHUB_TRY(reserve_completions(2 * VerbsMail::kDepth));
  PHUB_TRY_ASSIGN(mail_, VerbsMail::make(device_, completions_.get(), options_));
  return {};
}

Status VerbsRail::refresh() {
  has_changed_ = true;
  PHUB_TRY(refresh_port(device_, options_));
  has_changed_ = false;
  return {};
}

Result<VerbsDomain*> VerbsRail::join_domain(uint64_t id, uint64_t job) {
  for (const std::unique_ptr<VerbsDomain>& domain : domains_) {
    if (domain->id != id || domain->job != job) continue;
    ++domain->link_count;
    return domain.get();
  }
  auto domain = std::make_unique<VerbsDomain>();
  domain->id = id;
  domain->job = job;
  domain->pd.reset(verbs().alloc_pd(device_.context.get()));
  if (domain->pd == nullptr) {
    return Status(Code::resource_exhausted,
                  "make a protection domain on " + device_.name + ": " + base::errno_text());
  }
  for (size_t place = 0; place < memory_.count(); ++place) {
    PHUB_TRY_ASSIGN(VerbsPtr<ibv_mr> region, source_of(*domain, place));
    domain->sources.push_back(std::move(region));
  }
  domain->landings.resize(memory_.count());
  domain->link_count = 1;
  domains_.push_back(std::move(domain));
  return domains_.back().get();
}

void VerbsRail::leave_domain(VerbsDomain* domain) {
  if (--domain->link_count > 0) return;
  std::erase_if(domains_, [domain](const auto& one) { return one.get() == domain; });
}

Result<VerbsPtr<ibv_mr>> VerbsRail::source_of(const VerbsDomain& domain, size_t place) const {
  if (!memory_.is_for(place, domain.job)) return VerbsPtr<ibv_mr>();
  return register_source(domain.pd.get(), memory_.block(place));
}

Result<VerbsRegion> VerbsRail::share_landing(VerbsDomain& domain,
                                             std::span<std::byte> block) const {
  const size_t place = memory_.place_of(block);
  PHUB_CHECK(place != VerbsMemory::kNone);
  VerbsRegion shared = domain.landings[place].lock();
  if (shared != nullptr) return shared;
  PHUB_TRY_ASSIGN(VerbsPtr<ibv_mr> region, register_range(domain.pd.get(), block, false));
  shared = std::move(region);
  domain.landings[place] = shared;
  return shared;
}

Status VerbsRail::add_source(size_t place) {
  std::vector<VerbsPtr<ibv_mr>> regions;
  for (const std::unique_ptr<VerbsDomain>& domain : domains_) {
    PHUB_TRY_ASSIGN(VerbsPtr<ibv_mr> region, source_of(*domain, place));
    regions.push_back(std::move(region));
  }
  const auto offset = static_cast<ptrdiff_t>(place);
  for (size_t i = 0; i < domains_.size(); ++i) {
    VerbsDomain& domain = *domains_[i];
    domain.sources.insert(domain.sources.begin() + offset, std::move(regions[i]));
    domain.landings.insert(domain.landings.begin() + offset, std::weak_ptr<ibv_mr>());
  }
  return {};
}

void VerbsRail::remove_source(size_t place) {
  const auto offset = static_cast<ptrdiff_t>(place);
  for (const std::unique_ptr<VerbsDomain>& domain : domains_) {
    domain->sources.erase(domain->sources.begin() + offset);
    domain->landings.erase(domain->landings.begin() + offset);
  }
}

uint32_t VerbsRail::source_key(const VerbsDomain& domain, const std::byte* data,
                               uint32_t bytes) const {
  const size_t place = memory_.find(data, bytes);
  // Puts come out of memory that the fabric knows, and for this domain.
  PHUB_CHECK(place != VerbsMemory::kNone && domain.sources[place] != nullptr);
  return domain.sources[place]->lkey;
}

void VerbsRail::count_as_empty() {
  completions_reserved_ -= completions_left_;
  completions_left_ = 0;
}

// Takes all there is, so that nothing of the past needs room. poll() deals with it later.
void VerbsRail::absorb() {
  taken_.erase(taken_.begin(), taken_.begin() + static_cast<ptrdiff_t>(taken_at_));
  taken_at_ = 0;
  int count = 0;
  do {
    const size_t before = taken_.size();
    taken_.resize(before + kBatch);
    count = std::max(ibv_poll_cq(completions_.get(), kBatch, &taken_[before]), 0);
    taken_.resize(before + static_cast<size_t>(count));
  } while (count > 0);
  count_as_empty();
}

Status VerbsRail::reserve_completions(uint32_t count) {
  const auto room = [this] { return static_cast<uint32_t>(completions_->cqe); };
  if (completions_reserved_ + count > room() && completions_left_ > 0) absorb();
  const uint32_t wanted = completions_reserved_ + count;
  const uint32_t limit = can_grow_ ? static_cast<uint32_t>(device_.limits.max_cqe) : room();
  if (wanted > room()) {
    const uint32_t more = std::min(std::max(wanted, 2 * room()), limit);
    const int error =
        wanted > limit ? ENOSPC : verbs().resize_cq(completions_.get(), static_cast<int>(more));
    if (error != 0) {
      errno = error;
      return Status(Code::resource_exhausted,
                    "make room for " + std::to_string(wanted) + " completions on " + device_.name +
                        ", which has " + std::to_string(limit) + ": " + base::errno_text() +
                        "; give it a smaller queue_depth or fewer queue_pairs");
    }
  }
  completions_reserved_ = wanted;
  return {};
}

size_t VerbsRail::take() {
  PHUB_DCHECK(taken().empty());
  taken_.resize(kBatch);  // Never more than was reserved: allocates nothing.
  const int count = ibv_poll_cq(completions_.get(), kBatch, taken_.data());
  is_unreadable_ = count < 0;
  taken_.resize(static_cast<size_t>(std::max(count, 0)));
  ++take_count_;
  taken_at_ = 0;
  if (taken_.size() < kBatch) count_as_empty();
  return taken_.size();
}

void VerbsRail::arm() {
  disarm();
  ibv_req_notify_cq(completions_.get(), 0);
}

void VerbsRail::disarm() {
  uint32_t count = 0;
  ibv_cq* which = nullptr;
  void* context = nullptr;
  while (verbs().get_cq_event(channel_.get(), &which, &context) == 0) ++count;
  if (count > 0) verbs().ack_cq_events(completions_.get(), count);
}

}  // namespace phub::transport
