// A count that one thread writes and any thread may read.
#pragma once

#include <atomic>
#include <cstdint>

namespace phub::base {

// Costs the writer a plain load and store: no locked instruction. Thread-safety: one writer.
class Counter {
 public:
  void add(uint64_t amount) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

}  // namespace phub::base
