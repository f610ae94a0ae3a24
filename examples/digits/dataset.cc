#include "dataset.h"

#include <charconv>
#include <fstream>
#include <optional>
#include <string_view>

#include "random.h"

namespace digits {
namespace {

using phub::Code;
using phub::Result;
using phub::Status;

constexpr int kPixelMax = 16;
constexpr size_t kTestShare = 5;

// Takes the number in front of the next comma off `line`; none if it is not in [0, maximum].
std::optional<int> take_number(std::string_view& line, int maximum) {
  int number = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
  if (error != std::errc() || number < 0 || number > maximum) return std::nullopt;
  line.remove_prefix(static_cast<size_t>(end - line.data()));
  if (!line.empty() && line.front() == ',') line.remove_prefix(1);
  return number;
}

bool append_line(std::string_view line, Dataset& data) {
  for (size_t i = 0; i < kPixelCount; ++i) {
    const std::optional<int> pixel = take_number(line, kPixelMax);
    if (!pixel) return false;
    data.pixels.push_back(static_cast<float>(*pixel) / kPixelMax);
  }
  const std::optional<int> label = take_number(line, kClassCount - 1);
  if (!label || !line.empty()) return false;
  data.labels.push_back(static_cast<uint8_t>(*label));
  return true;
}

void append_image(const Dataset& from, size_t index, Dataset& to) {
  to.pixels.insert(to.pixels.end(), from.image(index), from.image(index) + kPixelCount);
  to.labels.push_back(from.labels[index]);
}

}  // namespace

Result<Split> load(const std::string& path, uint64_t seed) {
  std::ifstream file(path);
  if (!file) return Status(Code::not_found, "data set " + path + ": cannot be opened");
  Dataset all;
  std::string line;
  for (size_t number = 1; std::getline(file, line); ++number) {
    if (!append_line(line, all)) {
      return Status(Code::invalid_argument,
                    "data set " + path + ", line " + std::to_string(number) +
                        ": want 64 numbers from 0 to 16 and a digit, separated by commas");
    }
  }
  if (all.size() < kTestShare) {
    return Status(Code::invalid_argument,
                  "data set " + path + ": " + std::to_string(all.size()) + " images are too few");
  }

  Split split;
  const std::vector<uint32_t> order = Random(seed).permutation(all.size());
  for (size_t i = 0; i < order.size(); ++i) {
    append_image(all, order[i], i % kTestShare == 0 ? split.test : split.train);
  }
  return split;
}

}  // namespace digits
