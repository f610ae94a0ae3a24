#include "transport/shm_link.h"

#include <sys/socket.h>

#include <utility>

namespace phub::transport {

ShmLink::ShmLink(LinkId id, uint32_t generation, LinkOptions options, base::Mapping memory,
                 base::Fd socket)
    : options_(std::move(options)),
      memory_(std::move(memory)),
      rings_(ShmRings::at(memory_.data(), options_)),
      id_(id),
      generation_(generation),
      socket_(std::move(socket)) {}

void ShmLink::say_goodbye() {
  stage_closing();
  publish();
  own_line().is_closed.store(1, std::memory_order_release);
  full_fence();
  if (peer_line().is_parked.exchange(0, std::memory_order_relaxed) != 0) send_wake();
}

void ShmLink::lose(ShmLoss why, uint64_t detail, uint64_t bound) {
  if (is_lost()) return;
  loss_ = why;
  is_restless_ = true;
  loss_detail_ = detail;
  loss_bound_ = bound;
}

size_t ShmLink::report_loss(std::span<Event> events, size_t filled) {
  if (!has_loss_to_report() || filled == events.size()) return filled;
  is_loss_reported_ = true;
  events[filled] = Event{.kind = EventKind::lost, .link = id_};
  return filled + 1;
}

void ShmLink::end_if_peer_left() {
  if (!is_peer_closed_ && !is_hung_up_) return;
  const bool is_closed = peer_line().is_closed.load(std::memory_order_acquire) != 0;
  lose(is_closed ? ShmLoss::peer_closed : ShmLoss::peer_gone);
}

bool ShmLink::is_due_without_records() {
  if (is_lost()) return has_loss_to_report();
  // The flag of a peer that could not place its closing record. Everything it published before is
  // visible to the next poll.
  if (peer_line().is_closed.load(std::memory_order_acquire) != 0) {
    is_peer_closed_ = is_restless_ = true;
  }
  return is_peer_closed_ || is_hung_up_;
}

void ShmLink::send_wake() const {
  const char byte = 0;
  // Full (EAGAIN) is as good as sent; a peer that is gone needs no waking.
  [[maybe_unused]] const ssize_t sent =
      ::send(socket_.get(), &byte, sizeof(byte), MSG_DONTWAIT | MSG_NOSIGNAL);
}

std::string ShmLink::lost_reason() const {
  const std::string detail = std::to_string(loss_detail_);
  const std::string bound = std::to_string(loss_bound_);
  switch (loss_) {
    case ShmLoss::none:
      return "";
    case ShmLoss::peer_closed:
      return "peer closed the link";
    case ShmLoss::peer_gone:
      return "peer process is gone";
    case ShmLoss::corrupt_ring:
      return "peer broke the protocol: impossible ring index";
    case ShmLoss::too_many_puts:
      return "peer broke the protocol: more than " + bound + " unfinished puts";
    case ShmLoss::wrong_slot:
      return "peer broke the protocol: put to slot " + detail + " of " + bound;
    case ShmLoss::too_long:
      return "peer broke the protocol: put of " + detail + " bytes to a slot of " + bound;
    case ShmLoss::outside_memory:
      return "peer broke the protocol: payload outside its memory (region " + detail + ", offset " +
             bound + ")";
    case ShmLoss::unknown_release:
      return "peer broke the protocol: released put " + detail + ", which is not under way";
    case ShmLoss::window_too_small:
      return "put of " + detail + " bytes, but the peer's slot has " + bound;
  }
  return "unknown";
}

}  // namespace phub::transport
