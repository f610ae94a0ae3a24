// How fast puts of one size cross a fabric: one link, one thread that drives both its ends, as many
// puts under way as the depth says. To be read beside what the network's own tool says (ib_write_bw
// for verbs); tests/rdma/write_rate.sh does so.
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include "base/clock.h"
#include "base/try.h"
#include "perf/arguments.h"
#include "perf/commands.h"
#include "perf/statistics.h"
#include "transport/open.h"

namespace phub::perf {
namespace {

using base::Instant;
using transport::Event;
using transport::EventKind;
using transport::Fabric;
using transport::FabricOptions;
using transport::LinkId;
using transport::LinkOptions;
using transport::Put;

constexpr uint32_t kRoundShift = 10;  // Of a tag: below it the slot.
constexpr uint32_t kRoundMask = (1u << (32 - kRoundShift)) - 1;

constexpr Flag kFlags[] = {
    {"fabric", "verbs or tcp", "verbs"},
    {"from", "verbs: the sender's device", "rxe1"},
    {"to", "verbs: the receiver's device", "rxe0"},
    {"sizes", "bytes of a put, a list", "32KiB"},
    {"depths", "puts under way, a list", "1,4,16"},
    {"milliseconds", "per try", "1000"},
    {"tries", "the median counts", "3"},
};

struct PutState {
  uint32_t round = 0;
  bool is_sent = false;
  bool has_arrived = false;
};

class Bench {
 public:
  static Result<std::unique_ptr<Bench>> create(const std::string& scheme, const std::string& from,
                                               const std::string& to, uint32_t bytes,
                                               uint32_t depth) {
    auto bench = std::make_unique<Bench>();
    bench->depth_ = depth;
    bench->bytes_ = bytes;
    FabricOptions options;
    options.rdma.devices = {to};
    options.tcp.listen = base::HostPort{"127.0.0.1", 0};
    PHUB_TRY_ASSIGN(bench->receiver_, transport::open_fabric(scheme, options));
    options.rdma.devices = {from};
    options.tcp.listen.reset();
    options.tcp.hub_host = "127.0.0.1";
    PHUB_TRY_ASSIGN(bench->sender_, transport::open_fabric(scheme, options));
    PHUB_TRY(bench->join());
    return bench;
  }

  // Bytes a second of puts that have arrived. unavailable: the link is lost.
  Result<double> run(uint64_t ms) {
    const Instant start = base::now();
    const Instant end = start + std::chrono::milliseconds(ms);
    arrived_ = 0;
    Instant now = start;
    while (now < end || under_way_ > 0) {
      if (now < end) start_puts();
      PHUB_TRY(move(now));
      now = base::now();
    }
    return static_cast<double>(arrived_) * bytes_ /
           (static_cast<double>((now - start).count()) / 1e9);
  }

 private:
  Status join() {
    PHUB_TRY_ASSIGN(const auto slots, receiver_->allocate(size_t{bytes_} * depth_));
    PHUB_TRY_ASSIGN(source_, sender_->allocate(size_t{bytes_} * depth_));
    LinkOptions options;
    options.acceptor_puts_max = 1;
    options.connector_puts_max = depth_;
    for (uint32_t i = 0; i < depth_; ++i) {
      options.slots.push_back({slots.data() + size_t{i} * bytes_, bytes_});
      free_slots_.push_back(i);
    }
    states_.resize(depth_);
    transport::Bootstrap offer, answer;
    PHUB_TRY_ASSIGN(const LinkId hub, receiver_->open(options, &offer));
    options.slots.clear();
    options.peer_slot_count = depth_;
    PHUB_TRY_ASSIGN(link_, sender_->connect(options, std::move(offer), &answer));
    return receiver_->accept(hub, std::move(answer));
  }

  void start_puts() {
    while (!free_slots_.empty()) {
      const uint32_t slot = free_slots_.back();
      PutState& state = states_[slot];
      const Put put{.link = link_,
                    .slot = slot,
                    .tag = slot | (state.round + 1) << kRoundShift,
                    .bytes = bytes_,
                    .data = source_.data() + size_t{slot} * bytes_,
                    .cookie = slot};
      if (sender_->put(std::span(&put, 1)) == 0) return;
      state = {state.round + 1, false, false};
      free_slots_.pop_back();
      ++under_way_;
    }
  }

  Status move(Instant now) {
    std::array<Event, 32> events;
    for (Fabric* const fabric : {sender_.get(), receiver_.get()}) {
      const size_t count = fabric->poll(now, events);
      for (const Event& event : std::span(events).first(count)) {
        if (event.kind == EventKind::lost) {
          return Status(Code::unavailable, fabric->lost_reason(event.link));
        }
        if (event.kind == EventKind::sent) on_sent(static_cast<uint32_t>(event.cookie));
        if (event.kind == EventKind::arrived) on_arrived(event.tag);
        if (event.kind == EventKind::arrived) fabric->release(event);
      }
    }
    return Status();
  }

  void on_sent(uint32_t slot) {
    states_[slot].is_sent = true;
    finish(slot);
  }
  void on_arrived(uint32_t tag) {
    const uint32_t slot = tag & ((1u << kRoundShift) - 1);
    PutState& state = states_[slot];
    // Fabrics may say it twice.
    if (state.has_arrived || tag >> kRoundShift != (state.round & kRoundMask)) return;
    state.has_arrived = true;
    ++arrived_;
    finish(slot);
  }
  // A slot is free again when its put is sent and has arrived.
  void finish(uint32_t slot) {
    if (!states_[slot].is_sent || !states_[slot].has_arrived) return;
    free_slots_.push_back(slot);
    --under_way_;
  }

  std::unique_ptr<Fabric> receiver_, sender_;
  LinkId link_{0};
  uint32_t bytes_ = 0, depth_ = 0;
  std::span<std::byte> source_;
  std::vector<uint32_t> free_slots_;
  std::vector<PutState> states_;  // By slot.
  uint64_t arrived_ = 0, under_way_ = 0;
};

Status measure(const Arguments& arguments) {
  PHUB_TRY_ASSIGN(const std::vector<uint64_t> sizes, arguments.byte_sizes("sizes"));
  PHUB_TRY_ASSIGN(const std::vector<uint64_t> depths,
                  arguments.numbers("depths", 1, 1u << kRoundShift));
  PHUB_TRY_ASSIGN(const uint64_t ms, arguments.number("milliseconds", 1, 60'000));
  PHUB_TRY_ASSIGN(const uint64_t tries, arguments.number("tries", 1, 1000));
  std::printf("# fabric     bytes depth     MiB/s\n");
  for (const uint64_t bytes : sizes) {
    for (const uint64_t depth : depths) {
      PHUB_TRY_ASSIGN(
          const auto bench,
          Bench::create(arguments.text("fabric"), arguments.text("from"), arguments.text("to"),
                        static_cast<uint32_t>(bytes), static_cast<uint32_t>(depth)));
      std::vector<double> rates;
      for (uint64_t i = 0; i < tries; ++i) {
        PHUB_TRY_ASSIGN(const double rate, bench->run(ms));
        rates.push_back(rate / (1 << 20));
      }
      std::printf("%-8s %9llu %5llu %9.2f\n", arguments.text("fabric").c_str(),
                  static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(depth),
                  median(rates));
      std::fflush(stdout);
    }
  }
  return Status();
}

int run(Words words) {
  const Result<Arguments> arguments = Arguments::parse(words, kFlags);
  const Status status = arguments.ok() ? measure(*arguments) : arguments.status();
  if (status.ok()) return 0;
  std::fprintf(stderr, "puts_bench: %s\n%s", status.message().c_str(), usage(kFlags).c_str());
  return 1;
}

}  // namespace
}  // namespace phub::perf

int main(int argc, char** argv) {
  return phub::perf::run(
      phub::perf::Words(const_cast<const char* const*>(argv) + 1, static_cast<size_t>(argc) - 1));
}
