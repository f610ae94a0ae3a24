// Set-up of datagram links; datagram_poll.cc moves the data.
#include "transport/datagram.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/try.h"

namespace phub::transport {
namespace {
constexpr uint32_t kMtuMin = 256;

uint64_t seed_of(uint64_t seed) {
  if (seed == 0) base::random_bytes({reinterpret_cast<unsigned char*>(&seed), sizeof(seed)});
  return seed;
}
}  // namespace

DatagramFabric::DatagramFabric(std::unique_ptr<Wire> wire, const DatagramOptions& options)
    : wire_(std::move(wire)), options_(options), random_(seed_of(options.seed)) {
  PHUB_CHECK(wire_->mtu() >= kMtuMin);
}

DatagramFabric::~DatagramFabric() {
  for (uint32_t index = 0; index < links_.size(); ++index) close(LinkId{index});
  for (const base::Mapping& memory : memory_) wire_->remove_memory(memory.bytes());
}

DatagramCounters DatagramFabric::counters() const {
  DatagramCounters counters = counters_;
  for (const Link& link : links_) {
    if (link.sender) counters.packets_repeated += link.sender->repeat_count();
  }
  return counters;
}

void DatagramFabric::show_counters() {
  const auto show = [](base::Counter& counter, uint64_t value) {
    counter.add(value - counter.get());
  };
  const DatagramCounters own = counters();
  const WireCounters wire = wire_->counters();
  show(shown_.sent, own.packets_sent);
  show(shown_.received, own.packets_received);
  show(shown_.repeated, own.packets_repeated);
  show(shown_.duplicate, own.packets_duplicate);
  show(shown_.malformed, own.packets_malformed + wire.malformed);
  show(shown_.stale, own.packets_stale);
  show(shown_.foreign, wire.foreign);
  show(shown_.handed_over, wire.handed_over);
  show(shown_.dropped, wire.dropped);
  show(shown_.no_buffer, own.packets_no_buffer);
}

Result<std::span<std::byte>> DatagramFabric::allocate(size_t bytes) {
  PHUB_TRY_ASSIGN(base::Mapping memory, base::Mapping::anonymous(bytes));
  memory_.push_back(std::move(memory));
  wire_->add_memory(memory_.back().bytes());
  return memory_.back().bytes();
}

Status DatagramFabric::register_memory(std::span<std::byte> memory, uint64_t /*domain*/) {
  wire_->add_memory(memory);
  return {};
}

void DatagramFabric::deregister_memory(std::span<std::byte> memory) {
  // Lost links may still hold some.
  const bool is_lending = std::any_of(links_.begin(), links_.end(), [](const Link& link) {
    return link.sender && link.sender->is_lending();
  });
  if (is_lending) wire_->recall();
  wire_->remove_memory(memory);
}

// A cookie is all that keeps strangers out, so it must not be guessed from others seen before.
uint64_t DatagramFabric::new_cookie() {
  if (options_.seed != 0) return random_.next();
  uint64_t cookie = 0;
  base::random_bytes({reinterpret_cast<unsigned char*>(&cookie), sizeof(cookie)});
  return cookie;
}

uint32_t DatagramFabric::new_link(const LinkOptions& options, bool is_acceptor) {
  uint32_t index = 0;
  while (index < links_.size() && links_[index].state != State::closed) ++index;
  if (index == links_.size()) links_.emplace_back();
  Link& link = links_[index];
  const auto generation = static_cast<uint16_t>(link.generation + 1);
  link = Link();
  link.generation = generation;
  link.state = State::opening;
  link.is_acceptor = is_acceptor;
  link.cookie = new_cookie();
  link.options = options;
  const uint32_t puts_max = is_acceptor ? options.acceptor_puts_max : options.connector_puts_max;
  const uint32_t peer_puts_max =
      is_acceptor ? options.connector_puts_max : options.acceptor_puts_max;
  link.event_room = size_t{puts_max} + DatagramReceiver::room_for(peer_puts_max) + 1;
  events_.grow(link.event_room);
  return index;
}

DatagramBootstrap DatagramFabric::bootstrap_of(uint32_t index) const {
  const Link& link = links_[index];
  DatagramBootstrap bootstrap{
      .role = link.is_acceptor ? DatagramBootstrap::Role::offer : DatagramBootstrap::Role::answer,
      .address = wire_->address(),
      .mtu = static_cast<uint32_t>(wire_->mtu()),
      .link = index,
      .cookie = link.cookie,
      .offer_cookie = link.is_acceptor ? 0 : link.peer.cookie,
      .peer_slot_count = link.options.peer_slot_count,
      .acceptor_puts_max = link.options.acceptor_puts_max,
      .connector_puts_max = link.options.connector_puts_max,
      .slot_bytes = {}};
  for (const Slot& slot : link.options.slots) bootstrap.slot_bytes.push_back(slot.bytes);
  return bootstrap;
}

void DatagramFabric::bring_up(Link& link, DatagramBootstrap peer) {
  link.peer = std::move(peer);
  const LinkOptions& options = link.options;
  const size_t mtu = std::min<size_t>(wire_->mtu(), link.peer.mtu);
  const uint32_t puts_max =
      link.is_acceptor ? options.acceptor_puts_max : options.connector_puts_max;
  const uint32_t peer_puts_max =
      link.is_acceptor ? options.connector_puts_max : options.acceptor_puts_max;
  const RetransmitTimer timer(options_.initial_timeout_ns, options_.timeout_floor_ns,
                              options_.link_timeout_ns / 8);
  link.sender = std::make_unique<DatagramSender>(puts_max, mtu - kHeaderBytes - kAckBytes, timer);
  link.receiver = std::make_unique<DatagramReceiver>(peer_puts_max, options.slots);
  // The connector answered, so it has the link; the acceptor will have it when it gets the answer.
  link.is_heard = link.is_acceptor;
  link.state = State::up;
  timers_at_ = Instant{INT64_MIN};
}

Result<LinkId> DatagramFabric::open(const LinkOptions& options, Bootstrap* offer) {
  const uint32_t index = new_link(options, true);
  offer->blob = encode(bootstrap_of(index));
  return LinkId{index};
}

Status DatagramFabric::accept(LinkId id, Bootstrap answer) {
  Link& link = links_[index_of(id)];
  PHUB_CHECK(link.is_acceptor && (link.state == State::opening || link.state == State::lost));
  if (link.state == State::lost) {  // The connector closed before its answer came.
    const Status status(Code::unavailable, "datagram: " + link.lost_reason);
    close(id);
    return status;
  }
  Result<DatagramBootstrap> peer =
      decode_bootstrap(answer.blob, DatagramBootstrap::Role::answer, link.options.peer_slot_count);
  Status status = peer.status();
  if (status.ok() && peer->offer_cookie != link.cookie) {
    status = Status(Code::permission_denied, "datagram: the answer belongs to another offer");
  }
  if (status.ok()) status = check_bootstrap(*peer, link.options);
  if (status.ok()) status = wire_->prepare(peer->address);
  if (!status.ok()) {
    close(id);
    return status;
  }
  bring_up(link, std::move(*peer));
  return {};
}

Result<LinkId> DatagramFabric::connect(const LinkOptions& options, Bootstrap offer,
                                       Bootstrap* answer) {
  PHUB_TRY_ASSIGN(
      DatagramBootstrap peer,
      decode_bootstrap(offer.blob, DatagramBootstrap::Role::offer, options.peer_slot_count));
  PHUB_TRY(check_bootstrap(peer, options));
  PHUB_TRY(wire_->prepare(peer.address));
  const uint32_t index = new_link(options, false);
  bring_up(links_[index], std::move(peer));
  answer->blob = encode(bootstrap_of(index));
  return LinkId{index};
}

void DatagramFabric::close(LinkId id) {
  Link& link = links_[index_of(id)];
  if (link.state == State::closed) return;
  if (link.state == State::up) {
    // If this packet is lost, the peer learns it from the answer to its next packet.
    send_bare(link.peer.address, PacketKind::close, link.peer.link, link.peer.cookie);
    wire_->flush();
  }
  // From now on the memory is the caller's; what is changed while it leaves would arrive changed.
  if (link.sender && link.sender->is_lending()) wire_->recall();
  PHUB_CHECK(!link.sender || !link.sender->is_lending());
  if (link.sender) counters_.packets_repeated += link.sender->repeat_count();
  events_.erase_link(id);
  events_.shrink(link.event_room);
  const uint16_t generation = link.generation;
  link = Link();
  link.generation = generation;
}

std::string DatagramFabric::lost_reason(LinkId link) const {
  return links_[index_of(link)].lost_reason;
}

}  // namespace phub::transport
