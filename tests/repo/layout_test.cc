// Goal: every file has a place and a use: built, included, executable, introduced.
// Method: compare the files that are there with what CMake and the includes name.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <regex>
#include <set>
#include <sstream>

#include "tests/repo/source_text.h"
#include "tests/repo/tree.h"

namespace phub::repo {
namespace {

// Words of all CMake files, each also as a path from the root: "tests/repo/tree.cc".
std::set<std::string> named_by_cmake() {
  std::set<std::string> names;
  for (const File& file : files()) {
    if (!file.is_cmake()) continue;
    const std::string folder = file.path.substr(0, file.path.rfind('/') + 1);
    std::string text = file.text;
    for (char& c : text) {
      if (c == '(' || c == ')' || c == '"') c = ' ';
    }
    std::istringstream words(text);
    for (std::string word; words >> word;) {
      const size_t variable = word.rfind("}/");
      if (variable != std::string::npos) word = word.substr(variable + 2);
      names.insert(std::filesystem::path(folder + word).lexically_normal());
      names.insert(std::filesystem::path(word).lexically_normal());
    }
  }
  return names;
}

bool is_named(const std::set<std::string>& names, const std::string& path) {
  if (names.contains(path)) return true;
  // foreach(name a b) ... ${name}_test.cc names it by its stem.
  std::string stem = path.substr(0, path.rfind('.'));
  for (const std::string_view suffix : {"", "_test", "_fuzz"}) {
    if (!stem.ends_with(suffix)) continue;
    if (names.contains(stem.substr(0, stem.size() - suffix.size()))) return true;
  }
  return false;
}

TEST(LayoutTest, EverySourceFileIsBuilt) {
  const std::set<std::string> names = named_by_cmake();
  std::vector<std::string> violations;
  for (const File& file : files()) {
    const bool is_unit = file.ends_with(".cc") || file.ends_with(".c") || file.ends_with(".cu");
    if (is_unit && !is_named(names, file.path)) violations.push_back(file.path);
  }
  expect_none(violations);
}

TEST(LayoutTest, EveryInternalHeaderIsIncluded) {
  std::set<std::string> included;
  for (const File& file : files()) {
    if (!file.is_cpp()) continue;
    const std::string folder = file.path.substr(0, file.path.rfind('/') + 1);
    for (const Include& include : includes_of(file.text)) {
      included.insert(include.name);
      included.insert(folder + include.name);
    }
  }
  std::vector<std::string> violations;
  for (const File& file : files()) {
    if (!file.ends_with(".h") || file.folder() == "include/phub") continue;
    // A binding's own public headers are included as their users do it.
    const size_t root_end = file.path.find("/include/");
    const std::string name =
        root_end == std::string::npos ? file.path : file.path.substr(root_end + 9);
    if (!included.contains(file.path) && !included.contains(name)) {
      violations.push_back(file.path);
    }
  }
  expect_none(violations);
}

TEST(LayoutTest, ScriptsCanBeRun) {
  std::set<std::string> seen;
  std::vector<std::string> violations;
  for (const File& file : files()) {
    if (!file.ends_with(".sh") && file.path != ".ci/run") continue;
    seen.insert(file.path);
    struct stat status {};
    const bool runs = stat((root() + "/" + file.path).c_str(), &status) == 0 &&
                      (status.st_mode & S_IXUSR) != 0 && file.text.starts_with("#!");
    if (!runs) violations.push_back(file.path);
  }
  expect_none(violations);
  EXPECT_TRUE(seen.contains("test.sh"));
  EXPECT_TRUE(seen.contains("quickstart.sh"));
  EXPECT_TRUE(seen.contains(".ci/run"));
}

TEST(LayoutTest, CMakeHasNoGlobalFlagsAndFewOptions) {
  const std::vector<std::string> banned = {
      "include_directories(", "link_directories(", "add_definitions(", "add_compile_options(",
      "add_link_options(",    "link_libraries(",   "CMAKE_CXX_FLAGS",  "GLOB"};
  static const std::regex option(R"(^\s*(option\(|set\(PHUB_.* CACHE ))");
  std::vector<std::string> violations;
  size_t option_count = 0;
  for (const File& file : files()) {
    if (!file.is_cmake()) continue;
    size_t number = 0;
    for (const std::string_view line : file.lines()) {
      ++number;
      option_count += std::regex_search(std::string(line), option);
      for (const std::string& word : banned) {
        if (!contains_word(line, word)) continue;
        violations.push_back(file.path + ":" + std::to_string(number) + ": " + word);
      }
    }
  }
  expect_none(violations);
  EXPECT_GE(option_count, 1u);
  EXPECT_LE(option_count, 8u);
}

TEST(LayoutTest, EveryTestSaysItsGoal) {
  std::vector<std::string> violations;
  for (const File& file : files()) {
    if (file.folder() != "tests" || !file.ends_with("_test.cc")) continue;
    if (!file.text.starts_with("//")) violations.push_back(file.path);
  }
  expect_none(violations);
}

TEST(LayoutTest, EveryHeaderSaysWhatItIsForAndIsReadOnce) {
  std::vector<std::string> violations;
  for (const File& file : files()) {
    if (!file.ends_with(".h")) continue;
    const bool introduced = file.text.starts_with("//") || file.text.starts_with("/*");
    const bool once = file.text.find("#pragma once\n") != std::string::npos ||
                      file.text.find("#ifndef PHUB_") != std::string::npos ||
                      file.ends_with("-inl.h");
    if (!introduced || !once) violations.push_back(file.path);
  }
  expect_none(violations);
}

}  // namespace
}  // namespace phub::repo
