#include "tests/repo/tree.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

namespace phub::repo {
namespace {

namespace fs = std::filesystem;

// Empty when git is absent or this is no checkout (an unpacked archive, for example).
std::vector<std::string> paths_from_git() {
  const std::string command =
      "git -C '" + root() + "' ls-files -z --cached --others --exclude-standard 2>/dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string output;
  for (int c; pipe && (c = std::fgetc(pipe.get())) != EOF;) output.push_back(static_cast<char>(c));
  std::vector<std::string> paths;
  std::istringstream stream(output);
  for (std::string path; std::getline(stream, path, '\0');) paths.push_back(path);
  return paths;
}

std::vector<std::string> paths_from_walk() {
  std::vector<std::string> paths;
  for (auto entry = fs::recursive_directory_iterator(root());
       entry != fs::recursive_directory_iterator(); ++entry) {
    const std::string name = entry->path().filename();
    const bool generated =
        name.starts_with("build") || name == "report" || name == ".git" || name == "__pycache__";
    if (entry->is_directory() && generated) entry.disable_recursion_pending();
    if (entry->is_regular_file()) paths.push_back(fs::relative(entry->path(), root()));
  }
  return paths;
}

std::vector<File> read_files() {
  std::vector<std::string> paths = paths_from_git();
  if (paths.empty()) paths = paths_from_walk();
  std::vector<File> all;
  for (const std::string& path : paths) {
    std::ifstream stream(root() + "/" + path, std::ios::binary);
    if (!stream) continue;  // Deleted here, but not yet in the index.
    std::ostringstream text;
    text << stream.rdbuf();
    all.push_back({path, text.str()});
  }
  return all;
}

}  // namespace

std::string root() { return PHUB_SOURCE_DIR; }

const std::vector<File>& files() {
  static const std::vector<File> all = read_files();
  return all;
}

std::string File::folder() const {
  if (path.starts_with("include/phub/")) return "include/phub";
  const size_t slash = path.find('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string File::name() const { return path.substr(path.rfind('/') + 1); }

bool File::is_cpp() const {
  return ends_with(".h") || ends_with(".cc") || ends_with(".c") || ends_with(".cu");
}

bool File::is_cmake() const { return ends_with(".cmake") || name() == "CMakeLists.txt"; }

bool File::is_source() const {
  return is_cpp() || is_cmake() || ends_with(".py") || ends_with(".sh") || path == ".ci/run";
}

std::vector<std::string_view> File::lines() const {
  std::vector<std::string_view> all;
  const std::string_view view = text;
  for (size_t begin = 0; begin < view.size();) {
    const size_t end = std::min(view.find('\n', begin), view.size());
    all.push_back(view.substr(begin, end - begin));
    begin = end + 1;
  }
  return all;
}

void expect_none(const std::vector<std::string>& violations) {
  std::string text;
  for (const std::string& violation : violations) text += "\n  " + violation;
  EXPECT_TRUE(violations.empty()) << text;
}

}  // namespace phub::repo
