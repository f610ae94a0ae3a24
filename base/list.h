// Lists as people write them: entries with commas between, "a, b,c".
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace phub::base {

// The entries, without the spaces around each; at least one, and empty where nothing was written.
std::vector<std::string> split_list(std::string_view text);

}  // namespace phub::base
