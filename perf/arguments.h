// The command line of the performance programs: `--name value`, `--name=value` and switches.
//
// Programs of the product read theirs through config/; a benchmark's many lists want less.
#pragma once

#include <phub/status.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace phub::perf {

struct Flag {
  std::string_view name;  // Without the dashes.
  std::string_view help;
  std::string_view value;  // The default; lists are comma separated.
  bool is_switch = false;  // Takes no value; default "no".
};

class Arguments {
 public:
  // invalid_argument: an unknown flag, a missing value; names it. What does not start with -- is
  // positional.
  static Result<Arguments> parse(std::span<const char* const> words, std::span<const Flag> flags);

  const std::string& text(std::string_view name) const;  // REQUIRES: a known flag.
  bool is_set(std::string_view name) const { return text(name) == "yes"; }
  const std::vector<std::string>& positional() const { return positional_; }

  std::vector<std::string> list(std::string_view name) const;
  // invalid_argument: names the flag and the value.
  Result<uint64_t> number(std::string_view name, uint64_t minimum, uint64_t maximum) const;
  Result<std::vector<uint64_t>> numbers(std::string_view name, uint64_t minimum,
                                        uint64_t maximum) const;
  // Sizes as in 4KiB or 1MiB.
  Result<std::vector<uint64_t>> byte_sizes(std::string_view name) const;

 private:
  std::map<std::string, std::string, std::less<>> values_;
  std::vector<std::string> positional_;
};

// One line a flag, with its default.
std::string usage(std::span<const Flag> flags);

}  // namespace phub::perf
