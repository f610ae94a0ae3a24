// Numbers that are the same on every machine and in every rank: splitmix64 (Steele et al., 2014).
// The distributions of <random> are left to each standard library, so they cannot be used here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace digits {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // Uniform in [-bound, bound).
  float symmetric(float bound) {
    return (static_cast<float>(next() >> 40) * 0x1.0p-23f - 1.0f) * bound;
  }
  // 0 to count - 1 in a random order.
  std::vector<uint32_t> permutation(size_t count) {
    std::vector<uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0u);
    for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[next() % i]);
    return order;
  }

 private:
  uint64_t state_;
};

}  // namespace digits
