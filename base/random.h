// Randomness: seeded and reproducible for tests and the simulator, the kernel's for secrets.
#pragma once

#include <cstdint>
#include <span>

namespace phub::base {

// xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64. Same seed, same numbers, on
// every machine.
class Random {
 public:
  explicit Random(uint64_t seed);
  uint64_t next();
  // Uniform in [0, bound). REQUIRES: bound > 0.
  uint64_t below(uint64_t bound) { return next() % bound; }
  // Uniform in [0, 1).
  double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  bool chance(double probability) { return unit() < probability; }

 private:
  uint64_t state_[4];
};

// Fills `bytes` from the kernel's generator.
void random_bytes(std::span<unsigned char> bytes);

}  // namespace phub::base
