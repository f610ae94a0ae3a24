#include "transport/tcp_link.h"

#include <algorithm>

#include "base/check.h"

namespace phub::transport {
namespace {

// Of several connections, what a frame takes: enough to be worth a system call, and not so much
// that a slow connection holds what a fast one would have sent long ago.
constexpr uint64_t kSharedFrameBytesMin = 64u << 10;
constexpr uint64_t kSharedFrameBytesMax = 256u << 10;

}  // namespace

TcpLink::TcpLink(LinkId id, LinkOptions options, uint32_t puts_max, uint32_t stream_count)
    : id_(id), options_(std::move(options)), puts_(puts_max) {
  PHUB_CHECK(stream_count > 0);
  streams_.reserve(stream_count);
  while (streams_.size() < stream_count) streams_.emplace_back(id, options_.slots);
}

void TcpLink::attach(uint32_t number, ByteStream stream) {
  streams_[number].attach(std::move(stream));
  ++attached_count_;
}

bool TcpLink::stage(const Put& put) {
  if (is_lost_) return true;
  PHUB_CHECK(put.slot < options_.peer_slot_count);
  return puts_.add(put);
}

// One frame after the other, each on the next connection that takes one.
void TcpLink::flush() {
  size_t refusals = 0;
  while (!is_lost_ && refusals < streams_.size()) {
    refusals = streams_[next_sender_].send(puts_, frame_bytes()) ? 0 : refusals + 1;
    if (++next_sender_ == streams_.size()) next_sender_ = 0;
  }
}

// A connection's share of what waits; a single one takes all that a frame holds.
uint64_t TcpLink::frame_bytes() const {
  if (streams_.size() == 1) return UINT64_MAX;
  return std::clamp(puts_.waiting_bytes() / streams_.size(), kSharedFrameBytesMin,
                    kSharedFrameBytesMax);
}

bool TcpLink::is_quiet() const {
  if (is_lost_) return is_loss_reported_;
  return !puts_.has_finished() &&
         std::all_of(streams_.begin(), streams_.end(), [this](const TcpStream& stream) {
           return stream.is_dry() && !stream.can_send(puts_);
         });
}

size_t TcpLink::poll(std::span<Event> events) {
  flush();
  size_t filled = 0;
  if (!is_lost_) {
    filled = puts_.report(id_, events);
    filled += receive(events.subspan(filled));
  }
  if (is_lost_ && !is_loss_reported_ && filled < events.size()) {
    is_loss_reported_ = true;
    events[filled++] = {.kind = EventKind::lost, .link = id_};
  }
  return filled;
}

size_t TcpLink::receive(std::span<Event> events) {
  size_t filled = 0;
  size_t bytes = 0;
  bool has_failure = false;
  for (size_t i = 0; i < streams_.size(); ++i) {
    TcpStream& stream = streams_[next_receiver_];
    if (++next_receiver_ == streams_.size()) next_receiver_ = 0;
    if (stream.is_attached()) filled += stream.receive(events.subspan(filled), bytes);
    has_failure |= stream.has_failed();
  }
  if (streams_.size() > 1 && ++next_receiver_ >= streams_.size()) next_receiver_ = 0;
  if (has_failure) check_failures();
  return filled;
}

// A peer that goes closes its connections one by one: what came on the others before is not lost.
void TcpLink::check_failures() {
  const auto is_dry = [](const TcpStream& stream) { return stream.is_dry(); };
  if (!std::all_of(streams_.begin(), streams_.end(), is_dry)) return;
  const auto failed = std::find_if(streams_.begin(), streams_.end(),
                                   [](const TcpStream& stream) { return stream.has_failed(); });
  const std::string which = "connection " + std::to_string(failed - streams_.begin() + 1) + " of " +
                            std::to_string(streams_.size()) + ": ";
  lose((streams_.size() == 1 ? "" : which) + failed->failure());
}

void TcpLink::lose(std::string reason) {
  if (is_lost_) return;
  is_lost_ = true;
  lost_reason_ = std::move(reason);
}

}  // namespace phub::transport
