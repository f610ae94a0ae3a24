// Goal: files and functions stay small enough to be read, and the public face stays small.
// Method: count lines and columns of everything that is written by hand.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/repo/source_text.h"
#include "tests/repo/tree.h"

namespace phub::repo {
namespace {

constexpr size_t kColumnMax = 100;
constexpr size_t kFileLineMax = 500;
constexpr size_t kFunctionLineMax = 70;
constexpr size_t kFileByteMax = size_t{1} << 20;
constexpr size_t kPublicHeaderMax = 8;
constexpr size_t kPublicLineMax = 1000;

std::string at(const File& file, size_t line) { return file.path + ":" + std::to_string(line); }

TEST(SizeTest, LinesAreAtMostAHundredColumnsOfAscii) {
  std::vector<std::string> violations;
  for (const File& file : files()) {
    if (!file.is_source()) continue;
    size_t number = 0;
    for (const std::string_view line : file.lines()) {
      ++number;
      const auto is_ascii = [](char c) { return c == '\t' || (c >= ' ' && c <= '~'); };
      if (line.size() > kColumnMax) violations.push_back(at(file, number) + ": too long");
      if (!std::ranges::all_of(line, is_ascii)) {
        violations.push_back(at(file, number) + ": not ASCII");
      }
    }
  }
  expect_none(violations);
}

TEST(SizeTest, FilesFitInOneReading) {
  std::vector<std::string> violations;
  for (const File& file : files()) {
    const size_t line_count = file.lines().size();
    if (file.is_source() && line_count > kFileLineMax) {
      violations.push_back(file.path + ": " + std::to_string(line_count) + " lines");
    }
  }
  expect_none(violations);
}

TEST(SizeTest, FunctionsFitAScreen) {
  std::vector<std::string> violations;
  for (const File& file : files()) {
    if (!file.is_cpp()) continue;
    for (const Function& function : functions_of(file.text)) {
      if (function.line_count <= kFunctionLineMax) continue;
      violations.push_back(at(file, function.line) + ": a function of " +
                           std::to_string(function.line_count) + " lines");
    }
  }
  expect_none(violations);
}

TEST(SizeTest, NoFileIsLargerThanAMebibyte) {
  std::vector<std::string> violations;
  for (const File& file : files()) {
    if (file.text.size() > kFileByteMax) violations.push_back(file.path);
  }
  expect_none(violations);
}

TEST(SizeTest, ThePublicFaceIsSmallAndAboutHalfProse) {
  size_t header_count = 0;
  size_t line_count = 0;
  std::string text;
  for (const File& file : files()) {
    if (file.folder() != "include/phub" || !file.ends_with(".h")) continue;
    ++header_count;
    line_count += file.lines().size();
    text += file.text;
  }
  EXPECT_GE(header_count, 3u);
  EXPECT_LE(header_count, kPublicHeaderMax);
  EXPECT_LE(line_count, kPublicLineMax);
  EXPECT_GE(comment_share(text), 0.35);
  EXPECT_LE(comment_share(text), 0.65);
}

}  // namespace
}  // namespace phub::repo
