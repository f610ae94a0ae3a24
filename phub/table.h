// Tables for a terminal: aligned columns, safe to print whatever a peer has put into them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace phub::hub {

class Table {
 public:
  // A heading that begins with '>' makes its column right-aligned; the mark is not printed.
  explicit Table(std::vector<std::string> headings);
  // REQUIRES: as many cells as headings.
  void add(std::vector<std::string> cells);
  // Lines of columns two spaces apart, without trailing spaces.
  std::string text() const;

 private:
  std::vector<bool> is_right_;
  std::vector<std::vector<std::string>> rows_;
};

// Control characters as '?': a tensor's name cannot drive the terminal.
std::string printable(std::string_view text);

}  // namespace phub::hub
