// How fast and how patiently one link sends: round-trip time, retransmission timeout, and the
// congestion window. Arithmetic only; told what happened, asked what is allowed.
#pragma once

#include <algorithm>
#include <cstdint>

namespace phub::transport {

// Timeout = max(4 x smoothed round trip, floor), doubled for each timeout in a row. Four, because
// rounds of a training step come in bursts: queueing makes the trip vary by its own length.
class RetransmitTimer {
 public:
  RetransmitTimer(int64_t initial_ns, int64_t floor_ns, int64_t ceiling_ns)
      : initial_ns_(initial_ns), floor_ns_(floor_ns), ceiling_ns_(ceiling_ns) {}

  void on_round_trip(int64_t ns) {
    smoothed_ns_ = smoothed_ns_ == 0 ? std::max<int64_t>(ns, 1) : (smoothed_ns_ * 7 + ns) / 8;
  }
  void on_progress() { timeouts_in_a_row_ = 0; }
  void on_timeout() { ++timeouts_in_a_row_; }

  int64_t timeout_ns() const {
    const int64_t base_ns = smoothed_ns_ == 0 ? initial_ns_ : std::max(4 * smoothed_ns_, floor_ns_);
    return std::min(ceiling_ns_, base_ns << std::min(timeouts_in_a_row_, 10u));
  }
  int64_t smoothed_ns() const { return smoothed_ns_; }
  uint32_t timeouts_in_a_row() const { return timeouts_in_a_row_; }

 private:
  int64_t initial_ns_;
  int64_t floor_ns_;
  int64_t ceiling_ns_;
  int64_t smoothed_ns_ = 0;
  uint32_t timeouts_in_a_row_ = 0;
};

// Additive increase, multiplicative decrease, in packets: one more per round trip, half after a
// loss, a little less after a mark of congestion, at most once per window of packets. It starts at
// `start` and doubles per round trip until the first loss.
class CongestionWindow {
 public:
  static constexpr double kMin = 2;
  static constexpr double kMarkedFactor = 0.85;
  CongestionWindow(double start, double max) : packets_(start), max_(max), threshold_(max) {}

  // in_flight: before the acknowledgement. A window that was not used says nothing of the network's
  // room: it does not grow (RFC 7661).
  void on_acked(uint32_t count, uint32_t in_flight) {
    if (2 * in_flight < packets()) return;
    packets_ += packets_ < threshold_ ? count : count / packets_;
    packets_ = std::min(packets_, max_);
  }
  // order: the lost packet's place in the order of sending; next_order: the next one's to be sent.
  void on_lost(uint64_t order, uint64_t next_order) {
    if (order < recovery_) return;  // Sent before the last decrease, which was for it, too.
    packets_ = threshold_ = std::max(packets_ / 2, kMin);
    recovery_ = next_order;
  }
  // The network's mark (ECN) on packets up to `order`. A queue has begun where a loss says that it
  // ran over, so a smaller step does (RFC 8511).
  void on_marked(uint64_t order, uint64_t next_order) {
    if (order < recovery_) return;
    packets_ = threshold_ = std::max(packets_ * kMarkedFactor, kMin);
    recovery_ = next_order;
  }
  uint32_t packets() const { return static_cast<uint32_t>(packets_); }

 private:
  double packets_;
  double max_;
  double threshold_;
  uint64_t recovery_ = 0;
};

}  // namespace phub::transport
