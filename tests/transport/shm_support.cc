#include "tests/transport/shm_support.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <cstring>

#include "base/check.h"
#include "transport/open.h"

namespace phub::transport {

std::unique_ptr<Fabric> make_shm() {
  auto fabric = open_fabric("shm");
  PHUB_CHECK(fabric.ok());
  return std::move(fabric).value();
}

bool is_readable(int fd) {
  pollfd descriptor{fd, POLLIN, 0};
  return ::poll(&descriptor, 1, 0) == 1;
}

bool await_readable(int fd) {
  pollfd descriptor{fd, POLLIN, 0};
  return ::poll(&descriptor, 1, 10'000) == 1;
}

std::vector<Event> poll_once(Fabric& fabric) {
  std::vector<Event> events(64);
  events.resize(fabric.poll(Instant{}, events));
  return events;
}

ShmPair::ShmPair(uint32_t slot_count, uint32_t puts_max)
    : ShmPair(make_shm(), make_shm(), slot_count, puts_max) {}

ShmPair::ShmPair(std::shared_ptr<Fabric> hub_fabric, std::shared_ptr<Fabric> worker_fabric,
                 uint32_t slot_count, uint32_t puts_max)
    : hub(std::move(hub_fabric)), worker(std::move(worker_fabric)) {
  payloads = worker->allocate(size_t{slot_count} * kSlotBytes).value();
  results = worker->allocate(size_t{slot_count} * kSlotBytes).value();
  LinkOptions options{.slots = std::vector<Slot>(slot_count, Slot{nullptr, kSlotBytes}),
                      .peer_slot_count = slot_count,
                      .acceptor_puts_max = puts_max,
                      .connector_puts_max = puts_max};
  Bootstrap offer, answer;
  hub_link = hub->open(options, &offer).value();
  for (uint32_t i = 0; i < slot_count; ++i) options.slots[i].data = result(i);
  worker_link = worker->connect(options, std::move(offer), &answer).value();
  const Status status = hub->accept(hub_link, std::move(answer));
  EXPECT_TRUE(status.ok()) << status.message();
}

Put ShmPair::push(uint32_t slot, uint32_t tag) const {
  return {.link = worker_link,
          .slot = slot,
          .tag = tag,
          .bytes = kSlotBytes,
          .data = payload(slot),
          .cookie = tag};
}

Put ShmPair::reply(uint32_t slot, uint32_t tag) const {
  return {.link = hub_link,
          .slot = slot,
          .tag = tag,
          .bytes = kSlotBytes,
          .data = hub->window(hub_link, slot),
          .cookie = tag};
}

LinkOptions RawWorker::hub_options() {
  return {.slots = std::vector<Slot>(kSlotCount, Slot{nullptr, kSlotBytes}),
          .peer_slot_count = kSlotCount,
          .acceptor_puts_max = kPutsMax,
          .connector_puts_max = kPutsMax,
          .peer_slot_bytes = std::vector<uint32_t>(kSlotCount, kSlotBytes)};
}

RawWorker::RawWorker(Fabric& hub) : hub_(hub) {
  const LinkOptions options = hub_options();
  link_ = hub.open(options, &offer_).value();
  ring_memory_ = base::Mapping::shared(offer_.fds[0].get(), ShmRings::bytes(options)).value();
  rings_ = ShmRings::at(ring_memory_.data(), options);
  region_fd_ = base::make_sealed_memfd("region", kRegionBytes).value();
  region_ = base::Mapping::shared(region_fd_.get(), kRegionBytes).value();
  std::memset(region_.data(), 1, region_.size());
}

ShmAnswer RawWorker::good_answer() const {
  ShmAnswer answer;
  answer.region_bytes = {kRegionBytes};
  for (uint32_t i = 0; i < kSlotCount; ++i) {
    answer.slots.push_back({.at = {0, uint64_t{i} * kSlotBytes}, .bytes = kSlotBytes});
  }
  return answer;
}

Bootstrap RawWorker::bootstrap(const ShmAnswer& answer) const {
  Bootstrap bootstrap;
  bootstrap.blob = encode_shm_answer(answer);
  for (size_t i = 0; i < answer.region_bytes.size(); ++i) {
    bootstrap.fds.push_back(region_fd_.duplicate().value());
  }
  return bootstrap;
}

base::Mapping RawWorker::map_rings_again() const {
  return base::Mapping::shared(offer_.fds[0].get(), ring_memory_.size()).value();
}

void RawWorker::join() {
  const Status status = hub_.accept(link_, bootstrap(good_answer()));
  ASSERT_TRUE(status.ok()) << status.message();
}

void RawWorker::push(const PushRecord& record) {
  rings_.pushes[tail_ & (rings_.push_capacity - 1)] = record;
  rings_.header->pushes.tail.store(++tail_, std::memory_order_release);
}

PushRecord RawWorker::good_push(uint32_t index) {
  return {.tag = 7, .bytes = kSlotBytes, .region = 0, .slot = 1, .offset = 4096, .index = index};
}

}  // namespace phub::transport
