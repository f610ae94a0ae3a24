#include "transport/verbs.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/random.h"
#include "base/try.h"

namespace phub::transport {
namespace {

constexpr size_t kFarewellsMax = 64;

uint64_t new_cookie() {
  unsigned char random[8] = {};
  base::random_bytes(random);
  uint64_t cookie = 0;
  std::memcpy(&cookie, random, sizeof(cookie));
  return cookie;
}

}  // namespace

Result<std::unique_ptr<Fabric>> VerbsFabric::make(const config::RdmaOptions& options) {
  PHUB_TRY(VerbsLibrary::load());
  std::unique_ptr<VerbsFabric> fabric(new VerbsFabric(options));
  PHUB_TRY(fabric->start());
  return std::unique_ptr<Fabric>(std::move(fabric));
}

VerbsFabric::~VerbsFabric() = default;

Status VerbsFabric::start() {
  epoll_ = base::Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return Status(Code::internal, "create epoll: " + base::errno_text());
  PHUB_TRY_ASSIGN(const std::vector<std::string> names, choose_verbs_devices(options_));
  if (names.size() > kVerbsRailsMax) {
    return Status(Code::invalid_argument, std::to_string(names.size()) + " RDMA devices; at most " +
                                              std::to_string(kVerbsRailsMax) + " are used");
  }
  counters_ = std::make_unique<RailCounters[]>(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    counters_[i].name = names[i];
    by_name_.push_back(nullptr);
    auto rail = VerbsRail::open(names[i], options_, memory_, counters_[i]);
    if (rail.status().code() == Code::unavailable) {  // A cable that is out: others may do.
      rails_left_out_.push_back(rail.status().message());
      continue;
    }
    PHUB_TRY(rail.status());
    PHUB_TRY(watch((*rail)->wake_fd()));
    PHUB_TRY(watch((*rail)->async_fd()));
    PHUB_TRY(watch((*rail)->mail().ways().wake_fd()));
    rails_.push_back(std::move(rail).value());
    by_name_[i] = rails_.back().get();
  }
  if (rails_.empty()) return Status(Code::unavailable, rails_left_out_.front());
  for (size_t i = 0; i < by_name_.size(); ++i) {
    if (by_name_[i] != nullptr) continue;
    by_name_[i] = rails_[i % rails_.size()].get();
    counters_[i].links_down.add(1);
  }
  return {};
}

Status VerbsFabric::watch(int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return {};
  return Status(Code::internal, "watch an RDMA device: " + base::errno_text());
}

std::vector<std::string> VerbsFabric::choices() const {
  std::vector<std::string> lines;
  for (const std::unique_ptr<VerbsRail>& rail : rails_) {
    lines.push_back(rail->device().name + ": " + rail->device().gid.reason);
  }
  for (const std::string& reason : rails_left_out_) lines.push_back("not used: " + reason);
  return lines;
}

Result<std::span<std::byte>> VerbsFabric::allocate(size_t bytes) {
  PHUB_TRY_ASSIGN(base::Mapping memory, base::Mapping::anonymous(bytes));
  const std::span<std::byte> block = memory.bytes();
  PHUB_TRY(register_memory(block, VerbsMemory::kAllDomains));
  owned_.push_back(std::move(memory));
  return block;
}

Status VerbsFabric::register_memory(std::span<std::byte> memory, uint64_t domain) {
  if (memory.empty()) return {};
  const size_t place = memory_.add(memory, domain);
  for (size_t i = 0; i < rails_.size(); ++i) {
    Status status = rails_[i]->add_source(place);
    if (status.ok()) continue;
    for (size_t k = 0; k < i; ++k) rails_[k]->remove_source(place);
    memory_.remove(place);
    return status;
  }
  return {};
}

void VerbsFabric::deregister_memory(std::span<std::byte> memory) {
  const size_t place = memory_.place_of(memory);
  if (place == VerbsMemory::kNone) return;
  for (const std::unique_ptr<VerbsRail>& rail : rails_) rail->remove_source(place);
  memory_.remove(place);
}

VerbsLink& VerbsFabric::at(LinkId link) const {
  const uint32_t index = index_of(link);
  PHUB_CHECK(index < links_.size() && links_[index] != nullptr);
  return *links_[index];
}

LinkId VerbsFabric::free_id() const {
  const auto place = std::find(links_.begin(), links_.end(), nullptr);
  return LinkId{static_cast<uint32_t>(place - links_.begin())};
}

void VerbsFabric::keep(std::unique_ptr<VerbsLink> link) {
  const uint32_t index = index_of(link->id());
  if (index == links_.size()) links_.emplace_back();
  links_[index] = std::move(link);
  timers_at_ = {0};
}

Result<LinkId> VerbsFabric::open(const LinkOptions& options, Bootstrap* offer) {
  VerbsLink::Setup setup;
  setup.id = free_id();
  setup.options = options;
  setup.is_acceptor = true;
  setup.cookie = new_cookie();
  setup.rail_count = static_cast<uint32_t>(by_name_.size());
  setup.queue_pairs = std::clamp(options_.queue_pairs, 1u, kVerbsQueuePairsMax);
  PHUB_TRY_ASSIGN(std::unique_ptr<VerbsLink> link,
                  VerbsLink::make(std::move(setup), by_name_, memory_, numbers_));
  offer->blob = encode(link->bootstrap());
  offer->fds.clear();
  const LinkId id = link->id();
  keep(std::move(link));
  return id;
}

Status VerbsFabric::accept(LinkId id, Bootstrap answer) {
  VerbsLink& link = at(id);
  auto peer = decode_verbs_bootstrap(answer.blob, VerbsBootstrap::Role::answer, link.options());
  Status status = peer.status();
  if (status.ok() && !answer.fds.empty()) {
    status = Status(Code::invalid_argument, "verbs answer with descriptors");
  }
  if (status.ok()) status = link.join(std::move(peer).value());
  if (!status.ok()) links_[index_of(id)].reset();
  timers_at_ = {0};
  return status;
}

Result<LinkId> VerbsFabric::connect(const LinkOptions& options, Bootstrap offer,
                                    Bootstrap* answer) {
  PHUB_TRY_ASSIGN(VerbsBootstrap peer,
                  decode_verbs_bootstrap(offer.blob, VerbsBootstrap::Role::offer, options));
  VerbsLink::Setup setup;
  setup.id = free_id();
  setup.options = options;
  setup.cookie = peer.cookie;
  setup.rail_count = static_cast<uint32_t>(peer.rails.size());
  setup.queue_pairs = peer.queue_pairs;
  PHUB_TRY_ASSIGN(std::unique_ptr<VerbsLink> link,
                  VerbsLink::make(std::move(setup), by_name_, memory_, numbers_));
  answer->blob = encode(link->bootstrap());
  answer->fds.clear();
  PHUB_TRY(link->join(std::move(peer)));
  const LinkId id = link->id();
  keep(std::move(link));
  return id;
}

void VerbsFabric::close(LinkId id) {
  VerbsLink& link = at(id);
  if (auto farewell = link.say_goodbye()) {
    if (farewells_.size() == kFarewellsMax) farewells_.erase(farewells_.begin());
    farewells_.push_back(std::move(farewell));
  }
  links_[index_of(id)].reset();
  timers_at_ = {0};
}

std::string VerbsFabric::lost_reason(LinkId link) const { return at(link).lost_reason(); }

}  // namespace phub::transport
