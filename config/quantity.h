// Sizes and durations as people write them: "8GiB", "250ms".
//
// Every error is a phrase that fits behind `NAME = VALUE: `; the caller knows the name.
#pragma once

#include <phub/status.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace phub::config {

// A whole number in [minimum, maximum]. invalid_argument: not a number, or out of range.
Result<uint64_t> parse_number(std::string_view text, uint64_t minimum, uint64_t maximum);

// Bytes: a whole number with B, KiB, MiB, GiB, TiB (powers of 1024) or KB, MB, GB, TB (powers of
// 1000); no unit means bytes. invalid_argument: other text, or beyond 2^64.
Result<uint64_t> parse_bytes(std::string_view text);

// Microseconds: a whole number with us, ms, s or min. The unit is required, so that nobody guesses.
Result<uint64_t> parse_duration_us(std::string_view text);

// "8 GiB", "1.5 MiB", "17 B": at most four significant digits.
std::string print_bytes(uint64_t bytes);
// "5 s", "250 ms", "1.5 min".
std::string print_duration_us(uint64_t us);

}  // namespace phub::config
