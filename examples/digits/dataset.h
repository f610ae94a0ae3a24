// The handwritten digits: pixels and labels, split once into a part to train on and one to test on.
#pragma once

#include <phub/status.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace digits {

constexpr size_t kPixelCount = 64;  // 8 x 8, row by row.
constexpr size_t kClassCount = 10;

struct Dataset {
  std::vector<float> pixels;    // [size][kPixelCount], 0 (white) to 1 (black).
  std::vector<uint8_t> labels;  // [size], 0 to 9.

  size_t size() const { return labels.size(); }
  const float* image(size_t index) const { return pixels.data() + index * kPixelCount; }
};

struct Split {
  Dataset train;
  Dataset test;  // One image in five.
};

// Reads lines of 64 pixels (0 to 16) and a label, separated by commas, and deals them out in an
// order that only `seed` decides: every rank gets the same split.
// not_found: no such file.  invalid_argument: a line that is not so; names the line.
phub::Result<Split> load(const std::string& path, uint64_t seed);

}  // namespace digits
