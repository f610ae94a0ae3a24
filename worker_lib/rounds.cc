#include "worker_lib/rounds.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/try.h"

namespace phub::client {
namespace {
constexpr size_t kPutBatch = 64;
constexpr size_t kEventBatch = 64;
constexpr int kEventBatchesMax = 16;  // Per poll, so that a poll ends although more arrives.
// Sleeping for many arrivals saves wake-ups, but copies out of them should overlap with the hub.
constexpr uint32_t kWantWhenCopying = 64;
// Most unsent puts of a link. By reference `sent` waits for the slowest rank, so a window would let
// two ranks that start their tensors in different orders wait for each other for ever.
constexpr uint32_t kWindowByReference = UINT32_MAX;
constexpr uint32_t kWindow = 64;

bool all_by_reference(std::span<const std::unique_ptr<transport::Fabric>> fabrics) {
  return std::all_of(fabrics.begin(), fabrics.end(),
                     [](const auto& fabric) { return fabric->traits().by_reference; });
}

}  // namespace

Rounds::Rounds(std::span<const std::unique_ptr<transport::Fabric>> fabrics, const Regions* regions,
               std::span<const TensorSpec> tensors, exchange::ChunkMap map,
               std::vector<Placement> places, std::vector<ShardLink> links,
               std::vector<Finished>* finished, WorkerStats* stats)
    : by_reference_(all_by_reference(fabrics)),
      regions_(regions),
      specs_(tensors.begin(), tensors.end()),
      map_(std::move(map)),
      tensors_(tensors.size()),
      awaited_(map_.chunks().size()),
      finished_(finished),
      stats_(stats) {
  PHUB_CHECK(links.size() == map_.shard_count() && places.size() == tensors.size());
  finished_->reserve(2 * tensors.size());
  for (const std::unique_ptr<transport::Fabric>& fabric : fabrics) {
    doors_.push_back({fabric.get(), {}});
  }
  for (uint32_t t = 0; t < tensors_.size(); ++t) {
    const auto [begin, end] = map_.chunks_of_tensor(t);
    tensors_[t].bytes = specs_[t].count * element_bytes(t);
    tensors_[t].chunk_begin = begin;
    tensors_[t].chunk_end = end;
    tensors_[t].place = places[t];
  }
  for (uint32_t shard = 0; shard < links.size(); ++shard) {
    Door& door = doors_[links[shard].fabric];
    const uint32_t id = index_of(links[shard].link);
    if (door.shard_of_link.size() <= id) door.shard_of_link.resize(id + 1, UINT32_MAX);
    door.shard_of_link[id] = shard;
    links_.push_back(make_link(shard, std::move(links[shard])));
  }
}

Rounds::Link Rounds::make_link(uint32_t shard, ShardLink to) const {
  const bool by_reference = doors_[to.fabric].fabric->traits().by_reference;
  const uint32_t window = by_reference ? kWindowByReference : kWindow;
  Link link{std::move(to), window, 0, LinkQueue(tensors_.size()), {}, {}};
  link.unreplied.resize(tensors_.size());
  link.slot_begin.resize(tensors_.size() + 1);
  // Slots are given in chunk order, so a tensor's slots of one shard are neighbours.
  for (const uint32_t chunk : map_.chunks_of_shard(shard)) {
    ++link.slot_begin[map_.chunks()[chunk].tensor + 1];
  }
  for (size_t t = 1; t < link.slot_begin.size(); ++t) {
    link.slot_begin[t] += link.slot_begin[t - 1];
  }
  return link;
}

size_t Rounds::pump() {
  size_t started = 0;
  for (uint32_t shard = 0; shard < links_.size(); ++shard) pump_link(shard, &started);
  return started;
}

void Rounds::pump_link(uint32_t shard, size_t* started) {
  Link& link = links_[shard];
  transport::Fabric& fabric = *doors_[link.to.fabric].fabric;
  while (!link.queue.empty() && link.unsent < link.window) {
    LinkQueue::Run& run = link.queue.front();
    std::array<transport::Put, kPutBatch> puts;
    const size_t count =
        std::min<size_t>({kPutBatch, run.end_slot - run.next_slot, link.window - link.unsent});
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t slot = run.next_slot + i;
      puts[i] = make_put(shard, slot, slot >= run.staged_slot);
    }
    run.staged_slot = std::max(run.staged_slot, run.next_slot + static_cast<uint32_t>(count));
    const size_t taken = fabric.put({puts.data(), count});
    for (size_t i = 0; i < taken; ++i) {
      awaited_[puts[i].cookie] = kReply | kSent;
      stats_->pushed_bytes += puts[i].bytes;
    }
    link.unsent += static_cast<uint32_t>(taken);
    run.next_slot += static_cast<uint32_t>(taken);
    *started += taken;
    if (run.next_slot == run.end_slot) link.queue.pop();
    if (taken < count) return;  // Full: the next poll goes on.
  }
}

transport::Put Rounds::make_put(uint32_t shard, uint32_t slot, bool may_stage) {
  const uint32_t number = map_.chunks_of_shard(shard)[slot];
  const exchange::Chunk& chunk = map_.chunks()[number];
  const Tensor& tensor = tensors_[chunk.tensor];
  transport::Put put;
  put.link = links_[shard].to.link;
  put.slot = slot;
  put.tag = exchange::encode({tensor.verb, tensor.round, slot});
  put.cookie = number;
  if (tensor.source == nullptr) return put;
  const size_t size = element_bytes(chunk.tensor);
  const size_t offset = chunk.first_element * size;
  put.bytes = static_cast<uint32_t>(chunk.element_count * size);
  put.data = tensor.source + offset;
  if (!tensor.is_staged) return put;
  std::byte* const staging = tensor.place.staging + offset;
  if (may_stage) {
    std::memcpy(staging, put.data, put.bytes);
    stats_->copied_bytes += put.bytes;
  }
  put.data = staging;
  return put;
}

size_t Rounds::poll(transport::Instant now) {
  size_t handled = 0;
  for (Door& door : doors_) handled += poll_door(door, now);
  return handled + pump();
}

size_t Rounds::poll_door(Door& door, transport::Instant now) {
  std::array<transport::Event, kEventBatch> events;
  size_t handled = 0;
  for (int batch = 0; batch < kEventBatchesMax; ++batch) {
    const size_t count = door.fabric->poll(now, events);
    for (size_t i = 0; i < count; ++i) {
      switch (events[i].kind) {
        case transport::EventKind::arrived:
          on_arrived(door, events[i]);
          door.fabric->release(events[i]);
          break;
        case transport::EventKind::sent:
          on_sent(events[i]);
          break;
        case transport::EventKind::lost:
          on_lost(door, events[i]);
          break;
      }
    }
    handled += count;
    if (count < kEventBatch) break;
  }
  return handled;
}

// UINT32_MAX: none of ours.
uint32_t Rounds::shard_of(const Door& door, transport::LinkId link) const {
  const uint32_t id = index_of(link);
  return id < door.shard_of_link.size() ? door.shard_of_link[id] : UINT32_MAX;
}

void Rounds::on_arrived(const Door& door, const transport::Event& event) {
  const exchange::Tag tag = exchange::decode(event.tag);
  const uint32_t shard = shard_of(door, event.link);
  if (shard == UINT32_MAX || tag.slot >= map_.chunks_of_shard(shard).size()) {
    ++counters_.malformed;
    return;
  }
  const uint32_t number = map_.chunks_of_shard(shard)[tag.slot];
  const exchange::Chunk& chunk = map_.chunks()[number];
  Tensor& tensor = tensors_[chunk.tensor];
  if ((awaited_[number] & kReply) == 0 || tag.verb != tensor.verb ||
      tag.round != (tensor.round & 15u)) {
    ++counters_.duplicates;
    return;
  }
  if (event.bytes != chunk.element_count * element_bytes(chunk.tensor)) {
    ++counters_.malformed;
    return;
  }
  awaited_[number] &= static_cast<uint8_t>(~kReply);
  --links_[shard].unreplied[chunk.tensor];
  --tensor.unreplied;
  stats_->pulled_bytes += event.bytes;
  if (!tensor.copies_late) copy_out(tensor, chunk);
  if (awaited_[number] == 0) chunk_finished(chunk);
}

void Rounds::copy_out(const Tensor& tensor, const exchange::Chunk& chunk) {
  if (tensor.target == nullptr) return;
  const size_t size = element_bytes(chunk.tensor);
  const size_t offset = chunk.first_element * size;
  std::memcpy(tensor.target + offset, tensor.place.result + offset, chunk.element_count * size);
  stats_->copied_bytes += chunk.element_count * size;
}

void Rounds::on_sent(const transport::Event& event) {
  const auto number = static_cast<uint32_t>(event.cookie);
  if (number >= awaited_.size() || (awaited_[number] & kSent) == 0) return;
  const exchange::Chunk& chunk = map_.chunks()[number];
  awaited_[number] &= static_cast<uint8_t>(~kSent);
  --links_[chunk.shard].unsent;
  if (awaited_[number] == 0) chunk_finished(chunk);
}

void Rounds::on_lost(const Door& door, const transport::Event& event) {
  const uint32_t shard = shard_of(door, event.link);
  if (shard == UINT32_MAX || !lost_.ok()) return;
  lost_ = Status(Code::aborted, links_[shard].to.name + " is lost: " +
                                    door.fabric->lost_reason(event.link) + "; connect again");
}

void Rounds::chunk_finished(const exchange::Chunk& chunk) {
  Tensor& tensor = tensors_[chunk.tensor];
  if (tensor.copies_late) copy_out(tensor, chunk);
  if (--tensor.remaining == 0) end(chunk.tensor, {});
}

void Rounds::end(uint32_t t, const Status& status) {
  Tensor& tensor = tensors_[t];
  tensor.status = status;
  tensor.holds_push = tensor.kind == Kind::push && status.ok();
  tensor.remaining = 0;
  tensor.unreplied = 0;
  --busy_count_;
  ++ended_count_;
  if (status.ok()) {
    ++stats_->rounds;
  } else if (first_failure_.ok()) {
    first_failure_ = status;
  }
  for (Callback& callback : tensor.callbacks) {
    if (callback) finished_->push_back({std::move(callback), status});
    callback = nullptr;
  }
}

void Rounds::fail(const Status& reason) {
  for (uint32_t t = 0; t < tensors_.size(); ++t) {
    if (tensors_[t].remaining == 0) continue;
    end(t, reason.with_context(shown(t, tensors_[t].kind)));
  }
  for (Link& link : links_) link.queue.clear();
}

uint32_t Rounds::arrivals_wanted(const Link& link, uint32_t t) const {
  const Tensor& tensor = tensors_[t];
  if (tensor.remaining == 0) return 0;
  const uint32_t unreplied = link.unreplied[t];
  if (unreplied > 0) {
    return tensor.target != nullptr ? std::min(unreplied, kWantWhenCopying) : unreplied;
  }
  // All replies are there but a `sent` is not: wake for whatever comes next.
  return tensor.unreplied < tensor.remaining && link.unsent > 0 ? 1 : 0;
}

void Rounds::hint_arrivals(const Interest& interest) {
  for (uint32_t shard = 0; shard < links_.size(); ++shard) {
    const Link& link = links_[shard];
    // Nothing of interest on this link: more arrivals than can come.
    uint64_t count = map_.chunks_of_shard(shard).size() + 1;
    const auto consider = [&](uint64_t wanted) {
      if (wanted > 0) count = std::min(count, wanted);
    };
    for (const Operation& operation : interest.operations) {
      if (!is_done(operation)) consider(arrivals_wanted(link, index_of(operation.tensor)));
    }
    uint64_t sum = 0;
    for (uint32_t t = 0; t < tensors_.size(); ++t) {
      const Tensor& tensor = tensors_[t];
      if (tensor.remaining == 0) continue;
      const uint32_t wanted = arrivals_wanted(link, t);
      sum += wanted;
      if (interest.each || tensor.callbacks[0] || tensor.callbacks[1]) consider(wanted);
    }
    if (interest.all) consider(sum);
    // What waits to be put needs every `sent` that makes room for it.
    if (!link.queue.empty()) count = 1;
    doors_[link.to.fabric].fabric->want(link.to.link, static_cast<uint32_t>(count));
  }
}

}  // namespace phub::client
