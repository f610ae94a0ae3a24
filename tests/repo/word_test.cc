// Goal: nothing unfinished, private or out of place is written down.
// Method: look for words. They stand here in two halves, so that this file passes as well.
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "tests/repo/source_text.h"
#include "tests/repo/tree.h"

namespace phub::repo {
namespace {

std::vector<std::string> lines_with(const File& file, const std::string& text,
                                    const std::vector<std::string>& words) {
  std::vector<std::string> found;
  std::istringstream lines(text);
  size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    for (const std::string& word : words) {
      if (!contains_word(line, word)) continue;
      found.push_back(file.path + ":" + std::to_string(number) + ": " + word);
    }
  }
  return found;
}

TEST(WordTest, NothingSpeaksOfUnfinishedWorkOrOfWhereItWasWritten) {
  const std::vector<std::string> banned = {
      "TO"
      "DO",
      "FIX"
      "ME",
      "XX"
      "X",
      "HA"
      "CK",
      "DISA"
      "BLED_",
      "L"
      "LM",
      "lang"
      "uage model",
      "coding ag"
      "ent",
      "AI assis"
      "tant",
      ".lib"
      "rary",
      "/wo"
      "rk/",
      "/fa"
      "rm/",
      "Clau"
      "de",
      "Chat"
      "GPT",
      "Anth"
      "ropic"};
  std::vector<std::string> violations;
  for (const File& file : files()) {
    const auto found = lines_with(file, file.text, banned);
    violations.insert(violations.end(), found.begin(), found.end());
  }
  expect_none(violations);
}

// Sources of programs: what phub_program(...) lists, which may print and exit.
std::set<std::string> program_sources() {
  std::set<std::string> sources;
  for (const File& file : files()) {
    if (!file.is_cmake()) continue;
    const std::string folder = file.path.substr(0, file.path.rfind('/') + 1);
    for (size_t at = file.text.find("phub_program("); at != std::string::npos;
         at = file.text.find("phub_program(", at + 1)) {
      std::istringstream words(file.text.substr(at, file.text.find(')', at) - at));
      for (std::string word; words >> word;) sources.insert(folder + word);
    }
  }
  return sources;
}

TEST(WordTest, LibrariesNeitherPrintNorEndTheProcess) {
  const std::set<std::string> rooms = {"base",     "config", "kernels",   "transport",
                                       "exchange", "phub",   "worker_lib"};
  const std::set<std::string> programs = program_sources();
  const std::vector<std::string> banned = {"std::cout", "std::cerr", "printf(", "puts(",
                                           "exit(",     "_exit(",    "_Exit("};
  std::vector<std::string> violations;
  for (const File& file : files()) {
    if (!file.is_cpp() || !rooms.contains(file.folder()) || programs.contains(file.path)) continue;
    std::vector<std::string> words = banned;
    // A failed check is a bug and ends the process; that is said in one place.
    if (!file.path.starts_with("base/check.")) words.push_back("abort(");
    const auto found = lines_with(file, code_only(file.text), words);
    violations.insert(violations.end(), found.begin(), found.end());
  }
  expect_none(violations);
}

}  // namespace
}  // namespace phub::repo
