#include "base/list.h"

#include <algorithm>

namespace phub::base {
namespace {

std::string trimmed(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1));
}

}  // namespace

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> entries;
  while (true) {
    const size_t comma = std::min(text.find(','), text.size());
    entries.push_back(trimmed(text.substr(0, comma)));
    if (comma == text.size()) return entries;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace phub::base
