// Time, as data-path code sees it: a number that somebody else read from a clock.
//
// Only mains, waits and the runner read clocks; everything that moves is told the time
// (`poll(Instant now)`), so a whole cluster runs in one thread of a test.
#pragma once

#include <chrono>
#include <cstdint>

namespace phub::base {

// Nanoseconds since an arbitrary start.
struct Instant {
  int64_t ns = 0;

  auto operator<=>(const Instant&) const = default;
  Instant operator+(std::chrono::nanoseconds delta) const { return {ns + delta.count()}; }
  std::chrono::nanoseconds operator-(Instant other) const {
    return std::chrono::nanoseconds(ns - other.ns);
  }
};

// The monotonic clock of this machine.
Instant now();

}  // namespace phub::base
