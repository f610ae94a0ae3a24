#include "perf/arguments.h"

#include <algorithm>

#include "base/check.h"
#include "base/try.h"
#include "config/quantity.h"

namespace phub::perf {
namespace {

Status bad(std::string_view name, std::string_view value, const Status& why) {
  return Status(Code::invalid_argument,
                "--" + std::string(name) + " = " + std::string(value) + ": " + why.message());
}

}  // namespace

Result<Arguments> Arguments::parse(std::span<const char* const> words,
                                   std::span<const Flag> flags) {
  Arguments result;
  for (const Flag& flag : flags) {
    result.values_[std::string(flag.name)] = flag.is_switch ? "no" : std::string(flag.value);
  }
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string_view word = words[i];
    if (!word.starts_with("--")) {
      result.positional_.emplace_back(word);
      continue;
    }
    const size_t equal = word.find('=');
    const std::string name(word.substr(2, equal == word.npos ? equal : equal - 2));
    const auto flag = std::find_if(flags.begin(), flags.end(),
                                   [&](const Flag& known) { return known.name == name; });
    if (flag == flags.end()) {
      return Status(Code::invalid_argument, "unknown option --" + name + "; --help lists them");
    }
    if (flag->is_switch) {
      if (equal != word.npos) {
        return Status(Code::invalid_argument, "--" + name + " takes no value");
      }
      result.values_[name] = "yes";
    } else if (equal != word.npos) {
      result.values_[name] = word.substr(equal + 1);
    } else if (i + 1 < words.size()) {
      result.values_[name] = words[++i];
    } else {
      return Status(Code::invalid_argument, "--" + name + " wants a value");
    }
  }
  return result;
}

const std::string& Arguments::text(std::string_view name) const {
  const auto found = values_.find(name);
  PHUB_CHECK(found != values_.end());
  return found->second;
}

std::vector<std::string> Arguments::list(std::string_view name) const {
  std::vector<std::string> items;
  std::string_view rest = text(name);
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    if (comma != 0) items.emplace_back(rest.substr(0, comma));
    rest = comma == rest.npos ? std::string_view() : rest.substr(comma + 1);
  }
  return items;
}

Result<uint64_t> Arguments::number(std::string_view name, uint64_t minimum,
                                   uint64_t maximum) const {
  const std::string& value = text(name);
  Result<uint64_t> parsed = config::parse_number(value, minimum, maximum);
  return parsed.ok() ? parsed : bad(name, value, parsed.status());
}

Result<std::vector<uint64_t>> Arguments::numbers(std::string_view name, uint64_t minimum,
                                                 uint64_t maximum) const {
  std::vector<uint64_t> result;
  for (const std::string& item : list(name)) {
    const Result<uint64_t> parsed = config::parse_number(item, minimum, maximum);
    if (!parsed.ok()) return bad(name, item, parsed.status());
    result.push_back(*parsed);
  }
  return result;
}

Result<std::vector<uint64_t>> Arguments::byte_sizes(std::string_view name) const {
  std::vector<uint64_t> result;
  for (const std::string& item : list(name)) {
    const Result<uint64_t> parsed = config::parse_bytes(item);
    if (!parsed.ok()) return bad(name, item, parsed.status());
    result.push_back(*parsed);
  }
  return result;
}

std::string usage(std::span<const Flag> flags) {
  std::string result;
  for (const Flag& flag : flags) {
    std::string line = "  --" + std::string(flag.name);
    if (!flag.is_switch) line += " VALUE";
    line.resize(std::max<size_t>(line.size() + 1, 28), ' ');
    line += flag.help;
    if (!flag.value.empty()) line += " [" + std::string(flag.value) + "]";
    result += line + "\n";
  }
  return result;
}

}  // namespace phub::perf
