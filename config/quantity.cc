#include "config/quantity.h"

#include <array>
#include <charconv>
#include <cstdio>

namespace phub::config {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};
constexpr std::array kByteUnits{Unit{"", 1},
                                Unit{"B", 1},
                                Unit{"KiB", uint64_t{1} << 10},
                                Unit{"MiB", uint64_t{1} << 20},
                                Unit{"GiB", uint64_t{1} << 30},
                                Unit{"TiB", uint64_t{1} << 40},
                                Unit{"KB", 1'000},
                                Unit{"MB", 1'000'000},
                                Unit{"GB", 1'000'000'000},
                                Unit{"TB", 1'000'000'000'000}};
constexpr std::array kDurationUnits{Unit{"us", 1}, Unit{"ms", 1'000}, Unit{"s", 1'000'000},
                                    Unit{"min", 60'000'000}};

Status invalid(std::string message) { return Status(Code::invalid_argument, std::move(message)); }

template <size_t kCount>
Result<uint64_t> parse_with_units(std::string_view text, const std::array<Unit, kCount>& units,
                                  std::string_view want) {
  uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc::result_out_of_range) return invalid("is beyond 2^64; use less");
  if (error != std::errc()) return invalid("is not " + std::string(want));
  std::string_view name(rest, static_cast<size_t>(end - rest));
  while (name.starts_with(' ')) name.remove_prefix(1);
  for (const Unit& unit : units) {
    if (unit.name != name) continue;
    uint64_t product = 0;
    if (__builtin_mul_overflow(number, unit.factor, &product)) {
      return invalid("is beyond 2^64; use less");
    }
    return product;
  }
  return invalid("is not " + std::string(want));
}

// The largest unit that leaves at least 1, with two decimals at most and no trailing zeros.
std::string print_scaled(double value, std::string_view unit) {
  std::array<char, 32> text;
  const char* const format = value >= 100 ? "%.1f" : "%.2f";
  std::snprintf(text.data(), text.size(), format, value);
  std::string digits(text.data());
  while (digits.ends_with('0')) digits.pop_back();
  if (digits.ends_with('.')) digits.pop_back();
  return digits + " " + std::string(unit);
}

}  // namespace

Result<uint64_t> parse_number(std::string_view text, uint64_t minimum, uint64_t maximum) {
  const std::string want =
      "a whole number from " + std::to_string(minimum) + " to " + std::to_string(maximum);
  uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || rest != end || number < minimum || number > maximum) {
    return invalid("is not " + want);
  }
  return number;
}

Result<uint64_t> parse_bytes(std::string_view text) {
  return parse_with_units(text, kByteUnits, "a size; want for example 512MiB or 8GiB");
}

Result<uint64_t> parse_duration_us(std::string_view text) {
  return parse_with_units(text, kDurationUnits,
                          "a duration; want for example 50us, 250ms, 5s or 2min");
}

std::string print_bytes(uint64_t bytes) {
  constexpr std::array names{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t unit = 0;
  double value = static_cast<double>(bytes);
  while (value >= 1024 && unit + 1 < names.size()) {
    value /= 1024;
    ++unit;
  }
  return print_scaled(value, names[unit]);
}

std::string print_duration_us(uint64_t us) {
  const auto value = static_cast<double>(us);
  if (us < 1'000) return print_scaled(value, "us");
  if (us < 1'000'000) return print_scaled(value / 1e3, "ms");
  if (us < 60'000'000) return print_scaled(value / 1e6, "s");
  return print_scaled(value / 6e7, "min");
}

}  // namespace phub::config
