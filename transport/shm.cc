#include "transport/shm.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/try.h"
#include "transport/shm_acceptor.h"
#include "transport/shm_connector.h"

namespace phub::transport {
namespace {

// Events of one link before the next link has its turn.
constexpr size_t kLinkBatch = 32;
constexpr size_t kOfferFds = 2;

Status check_options(const LinkOptions& options) {
  for (const uint32_t puts_max : {options.acceptor_puts_max, options.connector_puts_max}) {
    if (puts_max <= kShmPutsMax) continue;
    return Status(Code::invalid_argument, "shm link with " + std::to_string(puts_max) +
                                              " unfinished puts; at most " +
                                              std::to_string(kShmPutsMax));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Fabric>> ShmFabric::make() {
  base::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return Status(Code::internal, "create epoll: " + base::errno_text());
  return std::unique_ptr<Fabric>(new ShmFabric(std::move(epoll)));
}

ShmFabric::~ShmFabric() {
  for (uint32_t i = 0; i < links_.size(); ++i) {
    if (links_[i] != nullptr) close(LinkId{i});
  }
}

Result<std::span<std::byte>> ShmFabric::allocate(size_t bytes) { return memory_.allocate(bytes); }

LinkId ShmFabric::free_id() const {
  const auto place = std::find(links_.begin(), links_.end(), nullptr);
  return LinkId{static_cast<uint32_t>(place - links_.begin())};
}

LinkId ShmFabric::keep(std::unique_ptr<ShmLink> link) {
  const LinkId id = link->id();
  if (index_of(id) == links_.size()) links_.emplace_back();
  links_[index_of(id)] = std::move(link);
  active_.reserve(links_.size());
  touched_.reserve(links_.size());
  return id;
}

Status ShmFabric::activate(ShmLink& link) {
  epoll_event interest{};
  interest.events = EPOLLIN;
  interest.data.u32 = index_of(link.id());
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, link.socket(), &interest) != 0) {
    return Status(Code::internal, "watch the socket of a shm link: " + base::errno_text());
  }
  active_.push_back(&link);
  return {};
}

Result<LinkId> ShmFabric::open(const LinkOptions& options, Bootstrap* offer) {
  PHUB_TRY(check_options(options));
  const size_t bytes = ShmRings::bytes(options);
  PHUB_TRY_ASSIGN(base::Fd fd, base::make_sealed_memfd("phub-rings", bytes));
  PHUB_TRY_ASSIGN(base::Mapping memory, base::Mapping::shared(fd.get(), bytes));
  prefault(memory.bytes());
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return Status(Code::internal, "create the sockets of a shm link: " + base::errno_text());
  }
  base::Fd own_end(ends[0]);
  offer->blob = encode_shm_offer(options);
  offer->fds.clear();
  offer->fds.push_back(std::move(fd));
  offer->fds.emplace_back(ends[1]);
  return keep(std::make_unique<ShmAcceptor>(free_id(), ++last_generation_, options,
                                            std::move(memory), std::move(own_end)));
}

Status ShmFabric::accept(LinkId link, Bootstrap answer) {
  auto* const acceptor = dynamic_cast<ShmAcceptor*>(&at(link));
  PHUB_CHECK(acceptor != nullptr && !acceptor->is_live());
  Status status = acceptor->accept(std::move(answer));
  if (status.ok()) status = activate(*acceptor);
  if (!status.ok()) close(link);
  return status;
}

Result<LinkId> ShmFabric::connect(const LinkOptions& options, Bootstrap offer, Bootstrap* answer) {
  PHUB_TRY(check_options(options));
  PHUB_TRY(check_shm_offer(offer.blob, options));
  if (offer.fds.size() != kOfferFds) {
    return Status(Code::invalid_argument, "shm offer with " + std::to_string(offer.fds.size()) +
                                              " descriptors instead of 2");
  }
  const size_t bytes = ShmRings::bytes(options);
  PHUB_TRY(base::check_sealed_memfd(offer.fds[0].get(), bytes));
  PHUB_TRY_ASSIGN(base::Mapping memory, base::Mapping::shared(offer.fds[0].get(), bytes));
  prefault(memory.bytes());
  std::vector<std::span<std::byte>> regions;
  PHUB_TRY(announce(options, &regions, answer));
  auto link =
      std::make_unique<ShmConnector>(free_id(), ++last_generation_, options, std::move(memory),
                                     std::move(offer.fds[1]), std::move(regions));
  PHUB_TRY(activate(*link));
  return keep(std::move(link));
}

// Fills the answer: the regions as they are now, and where the slots lie in them.
Status ShmFabric::announce(const LinkOptions& options, std::vector<std::span<std::byte>>* regions,
                           Bootstrap* answer) const {
  if (memory_.region_count() > kShmFdsMax) {
    return Status(Code::resource_exhausted,
                  "the registered memory lies in " + std::to_string(memory_.region_count()) +
                      " regions, but a link passes at most " + std::to_string(kShmFdsMax));
  }
  ShmAnswer announced;
  answer->fds.clear();
  for (uint32_t i = 0; i < memory_.region_count(); ++i) {
    regions->push_back(memory_.present(i));
    announced.region_bytes.push_back(memory_.present(i).size());
    PHUB_TRY_ASSIGN(base::Fd fd, memory_.fd(i).duplicate());
    answer->fds.push_back(std::move(fd));
  }
  for (const Slot& slot : options.slots) {
    ShmAnswer::PlacedSlot placed{.at = {}, .bytes = slot.bytes};
    if (slot.bytes > 0 && !find_region(*regions, slot.data, slot.bytes, &placed.at)) {
      return Status(Code::invalid_argument, "slot " + std::to_string(announced.slots.size()) +
                                                " of " + std::to_string(slot.bytes) +
                                                " bytes does not lie in memory from allocate()");
    }
    announced.slots.push_back(placed);
  }
  answer->blob = encode_shm_answer(announced);
  return {};
}

void ShmFabric::close(LinkId id) {
  ShmLink& link = at(id);
  link.say_goodbye();
  // Explicitly: the epoll set would keep a socket that a forked child still has open.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, link.socket(), nullptr);
  std::erase(active_, &link);
  std::erase(touched_, &link);
  links_[index_of(id)].reset();
}

ShmLink& ShmFabric::at(LinkId link) const {
  const uint32_t index = index_of(link);
  PHUB_CHECK(index < links_.size() && links_[index] != nullptr);
  return *links_[index];
}

std::string ShmFabric::lost_reason(LinkId link) const { return at(link).lost_reason(); }

std::byte* ShmFabric::window(LinkId link, uint32_t slot) { return at(link).window(slot); }

void ShmFabric::want(LinkId link, uint32_t count) { at(link).want(count); }

void ShmFabric::touch(ShmLink& link) {
  if (link.is_touched) return;
  link.is_touched = true;
  touched_.push_back(&link);  // Has room for every link.
}

// Publishes each touched link once, and pays one fence for all of them.
void ShmFabric::flush() {
  if (touched_.empty()) return;
  for (ShmLink* const link : touched_) link->publish();
  full_fence();
  for (ShmLink* const link : touched_) {
    link->wake_peer();
    link->is_touched = false;
  }
  touched_.clear();
}

size_t ShmFabric::put(std::span<const Put> puts) {
  size_t taken = 0;
  for (; taken < puts.size(); ++taken) {
    ShmLink& link = at(puts[taken].link);
    PHUB_DCHECK(link.is_live());
    if (!link.stage(puts[taken])) break;
    touch(link);
  }
  flush();
  return taken;
}

size_t ShmFabric::poll(Instant /*now*/, std::span<Event> events) {
  flush();
  size_t filled = 0;
  for (size_t visited = 0; visited < active_.size() && filled < events.size(); ++visited) {
    if (++cursor_ >= active_.size()) cursor_ = 0;
    if (active_[cursor_]->is_quiet()) continue;
    const size_t room = std::min(kLinkBatch, events.size() - filled);
    filled += active_[cursor_]->poll(events.subspan(filled, room));
  }
  return filled;
}

void ShmFabric::release(const Event& event) {
  const uint32_t index = index_of(event.link);
  const auto generation = static_cast<uint32_t>(event.cookie >> 32);
  // An arrival of a link that was closed since, and whose number may be another's now.
  if (index >= links_.size() || links_[index] == nullptr) return;
  if (links_[index]->generation() != generation) return;
  links_[index]->release(static_cast<uint32_t>(event.cookie));
  touch(*links_[index]);  // The peer hears of it with the next put, poll or arm.
}

bool ShmFabric::arm() {
  flush();
  for (ShmLink* const link : active_) link->park();
  full_fence();
  for (ShmLink* const link : active_) {
    if (!link->is_due()) continue;
    // The wishes of want() stay until disarm().
    for (ShmLink* const parked : active_) parked->unpark();
    return false;
  }
  return true;
}

void ShmFabric::disarm() {
  for (ShmLink* const link : active_) link->unpark();
  for (ShmLink* const link : active_) link->want(1);
  drain_wakes();
}

// Takes the bytes that woke us, and learns of peers that are gone. At most one read for each link:
// a peer that sends without end gets its turn the next time.
void ShmFabric::drain_wakes() {
  std::array<epoll_event, 64> ready;
  for (size_t seen = 0; seen <= active_.size(); seen += ready.size()) {
    const int count = ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), 0);
    for (int i = 0; i < count; ++i) {
      ShmLink& link = at(LinkId{ready[static_cast<size_t>(i)].data.u32});
      std::array<char, 64> bytes;
      const ssize_t taken = ::recv(link.socket(), bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (taken > 0 || (taken < 0 && (errno == EAGAIN || errno == EINTR))) continue;
      link.on_hang_up();
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, link.socket(), nullptr);
    }
    if (count < static_cast<int>(ready.size())) return;
  }
}

}  // namespace phub::transport
