#include "tests/transport/conformance.h"

#include <array>
#include <cstring>

namespace phub::transport {

void PrintTo(const FabricCase& fabric, std::ostream* out) { *out << fabric.name; }

size_t SlotArea::bytes_needed(uint32_t count, uint32_t bytes) {
  return size_t{kGuardBytes} + size_t{count} * ((bytes + 63) / 64 * 64 + kGuardBytes);
}

SlotArea::SlotArea(std::byte* memory, uint32_t count, uint32_t bytes)
    : memory_(memory), count_(count), bytes_(bytes), stride_((bytes + 63) / 64 * 64 + kGuardBytes) {
  if (memory_ != nullptr) std::memset(memory_, 0xa5, bytes_needed(count, bytes));
}

std::vector<Slot> SlotArea::slots() const {
  std::vector<Slot> slots;
  for (uint32_t i = 0; i < count_; ++i) {
    slots.push_back({memory_ == nullptr ? nullptr : slot(i), bytes_});
  }
  return slots;
}

bool SlotArea::are_guards_whole() const {
  if (memory_ == nullptr) return true;
  const auto is_guard = [this](size_t from, size_t to) {
    for (size_t i = from; i < to; ++i) {
      if (memory_[i] != std::byte{0xa5}) return false;
    }
    return true;
  };
  if (!is_guard(0, kGuardBytes)) return false;
  for (uint32_t i = 0; i < count_; ++i) {
    if (!is_guard(offset(i) + bytes_, offset(i) + stride_)) return false;
  }
  return true;
}

void FabricConformance::SetUp() {
  if (!GetParam().skip_reason.empty()) GTEST_SKIP() << "because " << GetParam().skip_reason;
  pair_ = GetParam().make();
}

void FabricConformance::TearDown() {
  if (pair_ == nullptr) return;
  for (const auto& half : halves_) EXPECT_TRUE(half->slots.are_guards_whole());
  EXPECT_EQ(pair_->violations(), "");
}

LinkOptions FabricConformance::options_for(Half& half) {
  const LinkShape& shape = half.shape;
  const size_t bytes = SlotArea::bytes_needed(shape.slot_count, shape.slot_bytes);
  const bool has_slot_memory = half.fabric != &acceptor() || !traits().by_reference;
  auto slots = half.fabric->allocate(bytes);
  auto source = half.fabric->allocate(bytes);
  EXPECT_TRUE(slots.ok() && source.ok());
  half.slots =
      SlotArea(has_slot_memory ? slots->data() : nullptr, shape.slot_count, shape.slot_bytes);
  half.source = SlotArea(source->data(), shape.slot_count, shape.slot_bytes);
  std::vector<uint8_t> rails(shape.slot_count);
  for (size_t i = 0; i < rails.size(); ++i) {
    rails[i] = static_cast<uint8_t>(i % pair_->rail_count());
  }
  return {.slots = half.slots.slots(),
          .peer_slot_count = shape.slot_count,
          .acceptor_puts_max = shape.puts_max,
          .connector_puts_max = shape.puts_max,
          .rails = std::move(rails),
          .tag_slot_mask = pair_->tag_slot_mask()};
}

FabricConformance::Joined FabricConformance::join(size_t connector, const LinkShape& shape) {
  const Joined joined{halves_.emplace_back(std::make_unique<Half>()).get(),
                      halves_.emplace_back(std::make_unique<Half>()).get()};
  joined.hub->fabric = &acceptor();
  joined.worker->fabric = &pair_->connector(connector);
  joined.hub->shape = joined.worker->shape = shape;
  Bootstrap offer;
  auto opened = acceptor().open(options_for(*joined.hub), &offer);
  EXPECT_TRUE(opened.ok()) << opened.status().message();
  Bootstrap answer;
  auto connected =
      joined.worker->fabric->connect(options_for(*joined.worker), std::move(offer), &answer);
  EXPECT_TRUE(connected.ok()) << connected.status().message();
  const Status accepted = acceptor().accept(*opened, std::move(answer));
  EXPECT_TRUE(accepted.ok()) << accepted.message();
  joined.hub->link = *opened;
  joined.worker->link = *connected;
  return joined;
}

void FabricConformance::close(Half& half) {
  half.fabric->close(half.link);
  half.fabric = nullptr;
  half.arrived.clear();
}

void FabricConformance::poll(Fabric& fabric) {
  std::array<Event, 8> events;
  const size_t count = fabric.poll(pair_->now(), events);
  for (size_t i = 0; i < count; ++i) {
    Half* half = nullptr;
    for (const auto& candidate : halves_) {
      if (candidate->fabric == &fabric && candidate->link == events[i].link) half = candidate.get();
    }
    ASSERT_NE(half, nullptr) << "an event of link " << index_of(events[i].link)
                             << ", which is closed";
    switch (events[i].kind) {
      case EventKind::arrived:
        half->arrived.push_back(events[i]);
        break;
      case EventKind::sent:
        half->sent.push_back(events[i].cookie);
        break;
      case EventKind::lost:
        ++half->lost_count;
        break;
    }
  }
}

void FabricConformance::step() {
  poll(acceptor());
  for (size_t i = 0; i < kConnectorCount; ++i) poll(pair_->connector(i));
  pair_->settle();
}

bool FabricConformance::step_until(const std::function<bool()>& is_done) {
  constexpr int kSteps = 200'000;
  for (int i = 0; i < kSteps; ++i) {
    if (is_done()) return true;
    step();
    if (HasFatalFailure()) return false;
  }
  ADD_FAILURE() << "nothing came of " << kSteps << " steps";
  return false;
}

std::byte FabricConformance::pattern(uint32_t tag, uint32_t i) {
  return static_cast<std::byte>((tag * 2654435761u + i * 40503u) >> 13);
}

bool FabricConformance::is_pattern(const Event& event) {
  for (uint32_t i = 0; i < event.bytes; ++i) {
    if (event.data[i] != pattern(event.tag, i)) return false;
  }
  return true;
}

Put FabricConformance::make_put(Half& from, uint32_t slot, uint32_t tag, uint32_t bytes,
                                bool by_window) {
  std::byte* const window = by_window ? from.fabric->window(from.link, slot) : nullptr;
  std::byte* const data = window != nullptr ? window : from.source.slot(slot);
  for (uint32_t i = 0; i < bytes; ++i) data[i] = pattern(tag, i);
  return {.link = from.link, .slot = slot, .tag = tag, .bytes = bytes, .data = data, .cookie = tag};
}

void FabricConformance::put(const Put& put, Half& from) {
  step_until([&] { return from.fabric->put({&put, 1}) == 1; });
}

void FabricConformance::expect_arrival(Half& at, uint32_t tag, uint32_t bytes) {
  ASSERT_TRUE(step_until([&] {
    for (const Event& event : at.arrived) {
      if (event.tag == tag) return true;
    }
    return false;
  })) << "tag "
      << tag;
  for (const Event& event : at.arrived) {
    if (event.tag != tag) continue;
    EXPECT_EQ(event.bytes, bytes);
    EXPECT_TRUE(is_pattern(event)) << "tag " << tag;
    break;  // Repeats may lie in memory that was used again.
  }
  release_all(at);
}

void FabricConformance::release_all(Half& at) {
  for (const Event& event : at.arrived) at.fabric->release(event);
  at.arrived.clear();
}

void FabricConformance::release_repeats() {
  for (const auto& half : halves_) {
    if (half->fabric != nullptr) release_all(*half);
  }
}

}  // namespace phub::transport
