// Client: joining the job, and agreeing with all ranks on the tensors of an epoch.
#include <algorithm>
#include <utility>

#include "base/try.h"
#include "exchange/rails.h"
#include "exchange/session_auth.h"
#include "worker_lib/client.h"
#include "worker_lib/validate.h"

namespace phub::client {
namespace {

bool is_same(const TensorSpec& a, const TensorSpec& b) {
  return a.name == b.name && a.type == b.type && a.count == b.count && a.op == b.op &&
         a.optimizer == b.optimizer && a.priority == b.priority;
}

}  // namespace

void Client::on(uint32_t index, exchange::Challenge& challenge) {
  HubSession& hub = hubs_[index];
  if (hub.is_welcome()) return;
  const std::string& job = options_.job.name;
  const std::string key = exchange::derive_key(options_.job.secret, job);
  exchange::Proof proof;
  proof.hmac = exchange::prove(key, challenge.nonce, hub.nonce, job, index_of(options_.rank));
  if (challenge.is_new_job) proof.key = key;
  hub.channel->send({std::move(proof), {}});
}

void Client::on(uint32_t index, exchange::Welcome& welcome) {
  HubSession& hub = hubs_[index];
  if (hub.is_welcome()) return;
  hub.name = std::move(welcome.hub);
  hub.shape = std::move(welcome.shape);
  if (!all_hubs([](const HubSession& one) { return one.is_welcome(); })) return;
  std::vector<exchange::HubShape> shapes;
  for (const HubSession& one : hubs_) shapes.push_back(one.shape);
  shape_ = exchange::join_hubs(shapes);
  state_ = State::idle;
}

Status Client::begin_tensors(std::span<const TensorSpec> specs, std::span<void* const> results) {
  PHUB_TRY(check_alive("register_tensors"));
  if (const Status status = check_specs(specs); !status.ok()) {
    return status.with_context("register_tensors");
  }
  if (agreement_.has_value()) {
    const std::vector<TensorSpec>& pending = agreement_->placements.tensors;
    if (std::equal(specs.begin(), specs.end(), pending.begin(), pending.end(), is_same)) return {};
    return Status(Code::failed_precondition,
                  "register_tensors: an agreement on another table of " +
                      std::to_string(pending.size()) +
                      " tensors is going on; repeat that call, or connect again");
  }
  if (rounds_ != nullptr && !rounds_->is_idle()) {
    return Status(Code::failed_precondition,
                  "register_tensors: operations are in flight; wait for them first");
  }
  Result<exchange::ChunkMap> map =
      exchange::ChunkMap::build(specs, options_.job.chunk_elements, shape_);
  if (!map.ok()) return map.status().with_context("register_tensors");
  PHUB_TRY(map->verify(specs));
  const bool by_reference = std::all_of(fabrics_.begin(), fabrics_.end(), [](const auto& fabric) {
    return fabric->traits().by_reference;
  });
  Result<Placements> placements =
      place_tensors(specs, results, placements_, by_reference, &regions_);
  if (!placements.ok()) return placements.status().with_context("register_tensors");
  propose_to_all({epoch_ + 1, {specs.begin(), specs.end()}, map->digest(), 0, {}});
  agreement_.emplace();
  agreement_->map = std::move(map).value();
  agreement_->placements = std::move(placements).value();
  agreement_->links.resize(shape_.shards.size());
  state_ = State::agreeing;
  return {};
}

void Client::propose_to_all(const exchange::Tensors& tensors) {
  for (uint32_t hub = 0; hub < hubs_.size(); ++hub) {
    exchange::Tensors message = tensors;
    if (hubs_.size() > 1) {
      message.hub = hub;
      message.hubs = shape_;
    }
    hubs_[hub].has_offered = hubs_[hub].has_started = false;
    hubs_[hub].channel->send({std::move(message), {}});
  }
}

Status Client::check_offer(const HubSession& hub, const exchange::Offer& offer) const {
  if (!agreement_.has_value() || hub.has_offered || offer.epoch != epoch_ + 1) {
    return Status(Code::internal, "hub " + hub.address + " offered epoch " +
                                      std::to_string(offer.epoch) + " while this rank is " +
                                      std::string(to_string(state_)) + " after epoch " +
                                      std::to_string(epoch_));
  }
  const uint64_t digest = agreement_->map.digest();
  if (offer.digest == digest) return {};
  return Status(Code::internal, "the map of epoch " + std::to_string(offer.epoch) + " has digest " +
                                    std::to_string(digest) + " here and " +
                                    std::to_string(offer.digest) + " at " + hub.name +
                                    "; use the same version on both sides");
}

// The hub's part of the epoch before is over: no rank has an operation in flight, or it would not
// have agreed, and the hub has let go of the links. Another hub may not be that far: its links
// stay.
void Client::on_offer(uint32_t index, exchange::Offer& offer, std::vector<base::Fd> fds) {
  HubSession& hub = hubs_[index];
  // On its way out, or a link has failed: the hubs hear, or have said, why.
  if (state_ == State::leaving || !suspicion_.ok()) return;
  if (const Status checked = check_offer(hub, offer); !checked.ok()) return fail(checked);
  hub.has_offered = true;
  if (rounds_ != nullptr) news_ += rounds_->ended_count();  // The sum of both never falls back.
  rounds_.reset();
  close_links(exchange::shards_of(shape_, index));
  regions_.publish();
  exchange::Message answer;
  const Status connected = connect_links(index, offer, std::move(fds), &answer);
  if (!connected.ok()) {
    suspicion_ = connected.with_context("register_tensors: connect to hub " + hub.address);
    return;
  }
  if (all_hubs([](const HubSession& one) { return one.has_offered; })) {
    placements_ = agreement_->placements;
    links_ = agreement_->links;
    agreement_->rounds = std::make_unique<Rounds>(
        fabrics_, &regions_, placements_.tensors, agreement_->map, placements_.places,
        std::move(agreement_->links), &finished_, &stats_);
  }
  hub.channel->send(std::move(answer));
}

void Client::close_links(exchange::ShardRange shards) {
  if (links_.empty()) return;  // This is the first epoch.
  for (uint32_t shard = shards.first; shard < shards.first + shards.count; ++shard) {
    fabrics_[links_[shard].fabric]->close(links_[shard].link);
  }
}

std::string Client::link_name(uint32_t hub, uint32_t shard) const {
  const std::string name = "link to shard " + std::to_string(shard);
  return hubs_.size() == 1 ? name : name + " of hub " + hubs_[hub].address;
}

transport::LinkOptions Client::link_options(uint32_t hub, uint32_t shard) const {
  const Placements& placements = agreement_->placements;
  const std::span<const uint32_t> chunks = agreement_->map.chunks_of_shard(shard);
  const auto count = static_cast<uint32_t>(chunks.size());
  transport::LinkOptions options;
  options.peer_slot_count = count;
  options.acceptor_puts_max = exchange::puts_max(count);
  options.connector_puts_max = exchange::puts_max(count);
  options.tag_slot_mask = exchange::kSlotCountMax - 1;
  options.peer = "shard " + std::to_string(shard - exchange::shards_of(shape_, hub).first) +
                 " of hub " + hubs_[hub].address;
  // The hub's NICs are RDMA devices; other networks do not go by them.
  if (fabrics_[hubs_[hub].fabric]->name() == "verbs") {
    options.rails = exchange::rails_of_shard(agreement_->map, shape_, shard);
  }
  for (const uint32_t number : chunks) {
    const exchange::Chunk& chunk = agreement_->map.chunks()[number];
    const size_t size = size_of(placements.tensors[chunk.tensor].type);
    options.slots.push_back({placements.places[chunk.tensor].result + chunk.first_element * size,
                             static_cast<uint32_t>(chunk.element_count * size)});
  }
  return options;
}

Status Client::connect_links(uint32_t hub, exchange::Offer& offer, std::vector<base::Fd> fds,
                             exchange::Message* answer) {
  const exchange::ShardRange shards = exchange::shards_of(shape_, hub);
  size_t fd_count = 0;
  for (const uint32_t count : offer.fd_counts) fd_count += count;
  if (offer.links.size() != shards.count || offer.fd_counts.size() != shards.count ||
      fd_count != fds.size()) {
    return Status(Code::internal, "its offer has " + std::to_string(offer.links.size()) +
                                      " links and " + std::to_string(fds.size()) +
                                      " descriptors; want " + std::to_string(shards.count) +
                                      " links and " + std::to_string(fd_count) + " descriptors");
  }
  exchange::Answer reply;
  reply.epoch = offer.epoch;
  auto next_fd = fds.begin();
  for (uint32_t shard = 0; shard < shards.count; ++shard) {
    transport::Bootstrap theirs{std::move(offer.links[shard]), {}};
    for (uint32_t i = 0; i < offer.fd_counts[shard]; ++i) {
      theirs.fds.push_back(std::move(*next_fd++));
    }
    transport::Bootstrap ours;
    Result<transport::LinkId> link = fabrics_[hubs_[hub].fabric]->connect(
        link_options(hub, shards.first + shard), std::move(theirs), &ours);
    if (!link.ok()) return link.status().with_context("shard " + std::to_string(shard));
    agreement_->links[shards.first + shard] = {hubs_[hub].fabric, *link, link_name(hub, shard)};
    reply.links.push_back(std::move(ours.blob));
    reply.fd_counts.push_back(static_cast<uint32_t>(ours.fds.size()));
    for (base::Fd& fd : ours.fds) answer->fds.push_back(std::move(fd));
  }
  answer->body = std::move(reply);
  return {};
}

void Client::on(uint32_t index, exchange::Start& start) {
  HubSession& hub = hubs_[index];
  if (state_ == State::leaving) return;
  if (!agreement_.has_value() || !hub.has_offered || hub.has_started || start.epoch != epoch_ + 1) {
    return fail(Status(Code::internal, "hub " + hub.address + " started epoch " +
                                           std::to_string(start.epoch) + " while this rank is " +
                                           std::string(to_string(state_)) + " after epoch " +
                                           std::to_string(epoch_)));
  }
  hub.has_started = true;
  if (!all_hubs([](const HubSession& one) { return one.has_started; })) return;
  epoch_ = start.epoch;
  rounds_ = std::move(agreement_->rounds);
  agreement_.reset();
  state_ = State::running;
}

}  // namespace phub::client
