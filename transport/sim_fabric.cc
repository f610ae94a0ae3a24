// Set-up of simulated links; sim_delivery.cc moves the data.
#include "transport/sim_fabric.h"

#include <algorithm>

#include "base/byte_codec.h"
#include "base/check.h"
#include "base/try.h"

namespace phub::transport {
namespace {

constexpr uint64_t kBlobMagic = 0x31626f6c426d6953;  // "SimBlob1"
constexpr size_t kBlobBytes = 64;

std::string encode(const SimBlob& blob) {
  std::string text(kBlobBytes, '\0');
  base::ByteWriter writer(std::as_writable_bytes(std::span(text)));
  writer.number(kBlobMagic);
  writer.number(blob.role);
  writer.number(static_cast<uint32_t>(blob.node));
  writer.number(blob.endpoint);
  writer.number(blob.link);
  writer.number(blob.cookie);
  writer.number(blob.offer_cookie);
  writer.number(blob.slot_count);
  writer.number(blob.peer_slot_count);
  writer.number(blob.acceptor_puts_max);
  writer.number(blob.connector_puts_max);
  PHUB_CHECK(writer.ok());
  text.resize(writer.size());
  return text;
}

Result<SimBlob> decode(const std::string& text, uint32_t role) {
  base::ByteReader reader(std::as_bytes(std::span(text)));
  const uint64_t magic = reader.number<uint64_t>();
  SimBlob blob;
  blob.role = reader.number<uint32_t>();
  blob.node = NodeId{reader.number<uint32_t>()};
  blob.endpoint = reader.number<uint64_t>();
  blob.link = reader.number<uint32_t>();
  blob.cookie = reader.number<uint64_t>();
  blob.offer_cookie = reader.number<uint64_t>();
  blob.slot_count = reader.number<uint32_t>();
  blob.peer_slot_count = reader.number<uint32_t>();
  blob.acceptor_puts_max = reader.number<uint32_t>();
  blob.connector_puts_max = reader.number<uint32_t>();
  if (!reader.is_complete() || magic != kBlobMagic || blob.role != role) {
    return Status(Code::invalid_argument, std::string("sim: the ") +
                                              (role == 0 ? "offer" : "answer") + " of " +
                                              std::to_string(text.size()) + " bytes is malformed");
  }
  return blob;
}

}  // namespace

SimFabric::SimFabric(SimCore& core, NodeId node) : SimEndpoint(core, node) {}

SimFabric::~SimFabric() {
  for (uint32_t index = 0; index < links_.size(); ++index) close(LinkId{index});
}

bool SimFabric::Memory::contains(const std::byte* data, size_t bytes, size_t region_count) const {
  for (size_t i = 0; i < region_count; ++i) {
    const std::byte* const begin = regions[i].data();
    const size_t size = regions[i].size();
    if (data >= begin && data <= begin + size && bytes <= size - static_cast<size_t>(data - begin))
      return true;
  }
  return false;
}

Result<std::span<std::byte>> SimFabric::allocate(size_t bytes) {
  PHUB_TRY_ASSIGN(base::Mapping region, base::Mapping::anonymous(bytes));
  memory_->regions.push_back(std::move(region));
  return memory_->regions.back().bytes();
}

Status SimFabric::register_memory(std::span<std::byte> memory, uint64_t /*domain*/) {
  registered_.push_back(memory);
  return {};
}

void SimFabric::deregister_memory(std::span<std::byte> memory) {
  std::erase_if(registered_, [&](std::span<std::byte> known) {
    return known.data() == memory.data() && known.size() == memory.size();
  });
}

bool SimFabric::is_registered(const std::byte* data, size_t bytes) const {
  return std::any_of(registered_.begin(), registered_.end(), [&](std::span<std::byte> known) {
    return data >= known.data() && data + bytes <= known.data() + known.size();
  });
}

uint32_t SimFabric::new_link(const LinkOptions& options, bool is_acceptor) {
  uint32_t index = 0;
  while (index < links_.size() && links_[index].state != State::closed) ++index;
  if (index == links_.size()) links_.emplace_back();
  Link& link = links_[index];
  link = Link();
  link.state = State::opening;
  link.is_acceptor = is_acceptor;
  link.cookie = core_.random().next();
  link.options = options;
  link.holders.resize(options.slots.size());
  return index;
}

SimBlob SimFabric::blob_of(uint32_t index) const {
  const Link& link = links_[index];
  return {.role = link.is_acceptor ? 0u : 1u,
          .node = node(),
          .endpoint = id(),
          .link = index,
          .cookie = link.cookie,
          .offer_cookie = link.peer_cookie,
          .slot_count = static_cast<uint32_t>(link.options.slots.size()),
          .peer_slot_count = link.options.peer_slot_count,
          .acceptor_puts_max = link.options.acceptor_puts_max,
          .connector_puts_max = link.options.connector_puts_max};
}

Status SimFabric::check_peer(const Link& link, const SimBlob& peer) const {
  if (peer.slot_count != link.options.peer_slot_count ||
      peer.peer_slot_count != link.options.slots.size() ||
      peer.acceptor_puts_max != link.options.acceptor_puts_max ||
      peer.connector_puts_max != link.options.connector_puts_max) {
    return Status(Code::invalid_argument,
                  "sim: the peer has " + std::to_string(peer.slot_count) + " slots and expects " +
                      std::to_string(peer.peer_slot_count) + " here, but it should have " +
                      std::to_string(link.options.peer_slot_count) + " and there are " +
                      std::to_string(link.options.slots.size()) +
                      " here; both sides must also agree on the puts at once");
  }
  auto* const fabric = dynamic_cast<SimFabric*>(core_.find(peer.endpoint));
  if (fabric == nullptr || fabric->node() != peer.node) {
    return Status(Code::invalid_argument, "sim: nobody is at endpoint " +
                                              std::to_string(peer.endpoint) + " of node " +
                                              std::to_string(static_cast<uint32_t>(peer.node)));
  }
  const Link* const half = fabric->find_link(peer.link, peer.cookie);
  if (half == nullptr) {
    return Status(Code::invalid_argument,
                  "sim: the peer has no link " + std::to_string(peer.link) + " with this cookie");
  }
  const std::vector<uint32_t>& wanted = link.options.peer_slot_bytes;
  for (size_t i = 0; i < std::min(wanted.size(), half->options.slots.size()); ++i) {
    if (half->options.slots[i].bytes >= wanted[i]) continue;
    return Status(Code::invalid_argument, "sim: slot " + std::to_string(i) + " of the peer holds " +
                                              std::to_string(half->options.slots[i].bytes) +
                                              " bytes, but " + std::to_string(wanted[i]) +
                                              " are needed");
  }
  return {};
}

void SimFabric::join(Link& link, const SimBlob& peer) {
  auto* const fabric = dynamic_cast<SimFabric*>(core_.find(peer.endpoint));
  link.peer_node = peer.node;
  link.peer = peer.endpoint;
  link.peer_link = peer.link;
  link.peer_cookie = peer.cookie;
  link.peer_slots = fabric->links_[peer.link].options.slots;
  link.peer_memory = fabric->memory_;
  link.region_count = memory_->regions.size();
  link.state = State::up;
}

Result<LinkId> SimFabric::open(const LinkOptions& options, Bootstrap* offer) {
  const uint32_t index = new_link(options, true);
  offer->blob = encode(blob_of(index));
  return LinkId{index};
}

Status SimFabric::accept(LinkId id, Bootstrap answer) {
  Link& link = links_[index_of(id)];
  PHUB_CHECK(link.is_acceptor && (link.state == State::opening || link.state == State::lost));
  if (link.state == State::lost) {  // The connector closed before its answer came.
    const Status status(Code::unavailable, "sim: " + link.lost_reason);
    close(id);
    return status;
  }
  Result<SimBlob> peer = decode(answer.blob, 1);
  Status status = peer.status();
  if (status.ok() && peer->offer_cookie != link.cookie) {
    status = Status(Code::permission_denied, "sim: the answer belongs to another offer");
  }
  if (status.ok()) status = check_peer(link, *peer);
  if (!status.ok()) {
    close(id);
    return status;
  }
  join(link, *peer);
  const std::vector<Copy> early = std::move(link.early);
  link.early.clear();
  for (const Copy& copy : early) deliver(index_of(id), copy);
  return {};
}

Result<LinkId> SimFabric::connect(const LinkOptions& options, Bootstrap offer, Bootstrap* answer) {
  PHUB_TRY_ASSIGN(const SimBlob peer, decode(offer.blob, 0));
  const uint32_t index = new_link(options, false);
  Link& link = links_[index];
  const Status status = check_peer(link, peer);
  if (!status.ok()) {
    link = Link();
    return status;
  }
  join(link, peer);
  answer->blob = encode(blob_of(index));
  return LinkId{index};
}

SimFabric::Link* SimFabric::find_link(uint32_t index, uint64_t cookie) {
  if (index >= links_.size()) return nullptr;
  Link& link = links_[index];
  return link.state != State::closed && link.cookie == cookie ? &link : nullptr;
}

void SimFabric::close(LinkId id) {
  const uint32_t index = index_of(id);
  Link& link = links_[index];
  if (link.state == State::closed) return;
  if (link.state == State::up && !is_dead()) {
    core_.send_reliably(node(), link.peer_node, link.peer,
                        [index = link.peer_link, cookie = link.peer_cookie](SimEndpoint& to) {
                          auto& peer = static_cast<SimFabric&>(to);
                          Link* const half = peer.find_link(index, cookie);
                          if (half != nullptr) peer.lose(index, "the peer closed the link");
                        });
  }
  std::erase_if(inbox_, [&](const Event& event) { return event.link == id; });
  std::erase_if(arrivals_, [&](const auto& entry) {
    if (entry.second.link == index) orphans_.insert(entry.first);
    return entry.second.link == index;
  });
  link = Link();
}

std::string SimFabric::lost_reason(LinkId link) const { return links_[index_of(link)].lost_reason; }

void SimFabric::on_silence(NodeId peer, uint64_t last_id, const std::string& reason) {
  for (uint32_t index = 0; index < links_.size(); ++index) {
    const Link& link = links_[index];
    if (link.state == State::up && link.peer_node == peer && link.peer <= last_id) {
      lose(index, reason);
    }
  }
}

std::unique_ptr<Fabric> make_sim_fabric(SimCore& core, NodeId node) {
  return std::make_unique<SimFabric>(core, node);
}

}  // namespace phub::transport
