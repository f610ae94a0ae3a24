// The files of the repository, as the rules see them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace phub::repo {

struct File {
  std::string path;  // From the root: "base/clock.h".
  std::string text;

  std::string folder() const;  // "base"; "include/phub" for public headers; "" at the root.
  std::string name() const;    // "clock.h"
  bool ends_with(std::string_view suffix) const { return path.ends_with(suffix); }
  bool is_cpp() const;     // .h .cc .c .cu
  bool is_cmake() const;   // CMakeLists.txt, .cmake
  bool is_source() const;  // Written by hand and not prose: C++, CMake, Python, shell.
  std::vector<std::string_view> lines() const;
};

// Everything that git tracks or would track; without git, every file outside build and report
// folders. Read once.
const std::vector<File>& files();

// The root of the repository, without a slash at the end.
std::string root();

// Fails the running test with one line for each violation.
void expect_none(const std::vector<std::string>& violations);

}  // namespace phub::repo
