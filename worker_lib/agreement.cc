// Client: joining the job, and agreeing with all ranks on the tensors of an epoch.
#include <algorithm>
#include <utility>

#include "base/try.h"
#include "exchange/session_auth.h"
#include "worker_lib/client.h"
#include "worker_lib/validate.h"

namespace phub::client {
namespace {

// By reference `sent` waits for the slowest rank, so a window would let two ranks that start their
// tensors in different orders wait for each other for ever.
constexpr uint32_t kWindowByReference = UINT32_MAX;
constexpr uint32_t kWindow = 64;

bool is_same(const TensorSpec& a, const TensorSpec& b) {
  return a.name == b.name && a.type == b.type && a.count == b.count && a.op == b.op &&
         a.optimizer == b.optimizer && a.priority == b.priority;
}

}  // namespace

void Client::on(exchange::Challenge& challenge) {
  if (state_ != State::connecting) return;
  const std::string& job = options_.job.name;
  const std::string key = exchange::derive_key(options_.job.secret, job);
  exchange::Proof proof;
  proof.hmac = exchange::prove(key, challenge.nonce, nonce_, job, index_of(options_.rank));
  if (challenge.is_new_job) proof.key = key;
  send(std::move(proof));
}

void Client::on(exchange::Welcome& welcome) {
  if (state_ != State::connecting) return;
  hub_name_ = std::move(welcome.hub);
  shape_ = std::move(welcome.shape);
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
  Result<Placements> placements =
      place_tensors(specs, results, placements_, fabric_->traits().by_reference, &regions_);
  if (!placements.ok()) return placements.status().with_context("register_tensors");
  exchange::Tensors tensors{epoch_ + 1, {specs.begin(), specs.end()}, map->digest()};
  agreement_.emplace();
  agreement_->map = std::move(map).value();
  agreement_->placements = std::move(placements).value();
  state_ = State::agreeing;
  send(std::move(tensors));
  return {};
}

void Client::on_offer(exchange::Offer& offer, std::vector<base::Fd> fds) {
  if (!agreement_.has_value() || agreement_->rounds != nullptr || offer.epoch != epoch_ + 1) {
    return fail(Status(Code::internal, "hub " + options_.hub + " offered epoch " +
                                           std::to_string(offer.epoch) + " while this rank is " +
                                           std::string(to_string(state_)) + " after epoch " +
                                           std::to_string(epoch_)));
  }
  const uint64_t digest = agreement_->map.digest();
  if (offer.digest != digest) {
    return fail(Status(Code::internal, "the map of epoch " + std::to_string(offer.epoch) +
                                           " has digest " + std::to_string(digest) + " here and " +
                                           std::to_string(offer.digest) + " at " + hub_name_ +
                                           "; use the same version on both sides"));
  }
  // The epoch before is over: no rank has an operation in flight, or it would not have agreed.
  if (rounds_ != nullptr) rounds_->close_links();
  rounds_.reset();
  regions_.publish();
  exchange::Message answer;
  auto links = connect_links(offer, std::move(fds), &answer);
  if (!links.ok()) return fail(links.status().with_context("register_tensors: connect to hub"));
  placements_ = agreement_->placements;
  const bool by_reference = fabric_->traits().by_reference;
  agreement_->rounds = std::make_unique<Rounds>(
      fabric_.get(), &regions_, placements_.tensors, agreement_->map, placements_.places,
      std::move(links).value(), by_reference ? kWindowByReference : kWindow, &finished_, &stats_);
  channel_->send(std::move(answer));
}

transport::LinkOptions Client::link_options(uint32_t shard) const {
  const Placements& placements = agreement_->placements;
  const std::span<const uint32_t> chunks = agreement_->map.chunks_of_shard(shard);
  const auto count = static_cast<uint32_t>(chunks.size());
  transport::LinkOptions options;
  options.peer_slot_count = count;
  options.acceptor_puts_max = exchange::puts_max(count);
  options.connector_puts_max = exchange::puts_max(count);
  for (const uint32_t number : chunks) {
    const exchange::Chunk& chunk = agreement_->map.chunks()[number];
    const size_t size = size_of(placements.tensors[chunk.tensor].type);
    options.slots.push_back({placements.places[chunk.tensor].result + chunk.first_element * size,
                             static_cast<uint32_t>(chunk.element_count * size)});
  }
  return options;
}

Result<std::vector<transport::LinkId>> Client::connect_links(exchange::Offer& offer,
                                                             std::vector<base::Fd> fds,
                                                             exchange::Message* answer) {
  const size_t shard_count = agreement_->map.shard_count();
  size_t fd_count = 0;
  for (const uint32_t count : offer.fd_counts) fd_count += count;
  if (offer.links.size() != shard_count || offer.fd_counts.size() != shard_count ||
      fd_count != fds.size()) {
    return Status(Code::internal, "its offer has " + std::to_string(offer.links.size()) +
                                      " links and " + std::to_string(fds.size()) +
                                      " descriptors; want " + std::to_string(shard_count) +
                                      " links and " + std::to_string(fd_count) + " descriptors");
  }
  exchange::Answer reply;
  reply.epoch = offer.epoch;
  std::vector<transport::LinkId> links;
  auto next_fd = fds.begin();
  for (uint32_t shard = 0; shard < shard_count; ++shard) {
    transport::Bootstrap theirs{std::move(offer.links[shard]), {}};
    for (uint32_t i = 0; i < offer.fd_counts[shard]; ++i) {
      theirs.fds.push_back(std::move(*next_fd++));
    }
    transport::Bootstrap ours;
    Result<transport::LinkId> link =
        fabric_->connect(link_options(shard), std::move(theirs), &ours);
    if (!link.ok()) return link.status().with_context("shard " + std::to_string(shard));
    links.push_back(*link);
    reply.links.push_back(std::move(ours.blob));
    reply.fd_counts.push_back(static_cast<uint32_t>(ours.fds.size()));
    for (base::Fd& fd : ours.fds) answer->fds.push_back(std::move(fd));
  }
  answer->body = std::move(reply);
  return links;
}

void Client::on(exchange::Start& start) {
  if (!agreement_.has_value() || agreement_->rounds == nullptr || start.epoch != epoch_ + 1) {
    return fail(Status(Code::internal, "hub " + options_.hub + " started epoch " +
                                           std::to_string(start.epoch) + " while this rank is " +
                                           std::string(to_string(state_)) + " after epoch " +
                                           std::to_string(epoch_)));
  }
  epoch_ = start.epoch;
  rounds_ = std::move(agreement_->rounds);
  agreement_.reset();
  state_ = State::running;
}

}  // namespace phub::client
