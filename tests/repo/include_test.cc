// Goal: dependencies between the rooms point one way, and every include line says what it means:
// <phub/x.h> is public, "folder/x.h" is internal and counted from the root.
// Method: read every include of every C++ file.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <regex>
#include <set>

#include "tests/repo/source_text.h"
#include "tests/repo/tree.h"

namespace phub::repo {
namespace {

using Rooms = std::set<std::string>;

// For each room, the rooms whose headers it may include as "folder/x.h". Public headers are open
// to all. Rooms that are not here (examples, bindings) may include their own folder only.
const std::map<std::string, Rooms>& allowed_rooms() {
  static const std::map<std::string, Rooms> allowed = [] {
    std::map<std::string, Rooms> rooms;
    rooms["include/phub"] = {};
    rooms["base"] = {"base"};
    rooms["config"] = {"config", "base"};
    rooms["transport"] = {"transport", "config", "base"};
    rooms["kernels"] = {"kernels", "config", "base"};
    rooms["exchange"] = {"exchange", "transport", "kernels", "config", "base"};
    rooms["phub"] = rooms["worker_lib"] = rooms["exchange"];
    rooms["phub"].insert("phub");
    rooms["worker_lib"].insert("worker_lib");
    rooms["perf"] = rooms["phub"];
    rooms["perf"].insert({"worker_lib", "perf"});
    rooms["tests"] = rooms["perf"];
    rooms["tests"].insert({"tests", "examples"});
    return rooms;
  }();
  return allowed;
}

bool exists(const std::string& path) { return std::filesystem::exists(root() + "/" + path); }

std::string first_folder(const std::string& path) { return path.substr(0, path.find('/')); }

// Why this include is not allowed; empty if it is.
std::string objection(const File& file, const Include& include) {
  if (include.angled) {
    const bool is_public = include.name.starts_with("phub/");
    if (is_public && !exists("include/" + include.name)) return "is not a public header";
    if (!is_public && exists(include.name)) return "is internal: write it with quotes";
    return "";
  }
  const auto room = allowed_rooms().find(file.folder());
  if (room == allowed_rooms().end()) {  // Sees what a user sees.
    const std::string here = file.path.substr(0, file.path.rfind('/') + 1);
    return exists(here + include.name) && include.name.find("..") == std::string::npos
               ? ""
               : "is neither public nor beside this file";
  }
  if (!exists(include.name)) return "is not a path from the root";
  if (!room->second.contains(first_folder(include.name))) return "points the wrong way";
  return "";
}

TEST(IncludeTest, EveryIncludePointsDownAndSaysWhatItIs) {
  std::vector<std::string> violations;
  for (const File& file : files()) {
    if (!file.is_cpp()) continue;
    for (const Include& include : includes_of(file.text)) {
      const std::string why = objection(file, include);
      if (why.empty()) continue;
      violations.push_back(file.path + ":" + std::to_string(include.line) + ": " + include.name +
                           " " + why);
    }
  }
  expect_none(violations);
}

TEST(IncludeTest, UpwardAndSidewardIncludesAreSeen) {
  const auto why = [](const char* path, const char* name, bool angled = false) {
    return objection(File{path, ""}, Include{1, angled, name});
  };
  EXPECT_EQ(why("exchange/a.cc", "base/status.cc"), "");
  EXPECT_EQ(why("base/a.cc", "exchange/map.h"), "points the wrong way");
  EXPECT_EQ(why("kernels/a.cc", "transport/fabric.h"), "points the wrong way");
  EXPECT_EQ(why("worker_lib/a.cc", "phub/admin.h"), "points the wrong way");
  EXPECT_EQ(why("exchange/a.cc", "map.h"), "is not a path from the root");
  EXPECT_EQ(why("exchange/a.cc", "base/fd.h", true), "is internal: write it with quotes");
  EXPECT_EQ(why("base/a.cc", "phub/admin.h", true), "is not a public header");
  EXPECT_EQ(why("examples/x/a.cc", "base/fd.h"), "is neither public nor beside this file");
}

TEST(IncludeTest, PublicHeadersNeedOnlyTheStandardLibraryAndThemselves) {
  static const std::regex standard(R"(std[a-z]+\.h|[a-z_]+)");
  std::vector<std::string> violations;
  for (const File& file : files()) {
    if (file.folder() != "include/phub" || !file.ends_with(".h")) continue;
    for (const Include& include : includes_of(file.text)) {
      const bool is_ours = include.name.starts_with("phub/");
      const bool is_known = is_ours || std::regex_match(include.name, standard);
      if (!include.angled || !is_known) violations.push_back(file.path + ": " + include.name);
    }
  }
  expect_none(violations);
}

// With both folders on the path, either spelling would find the first of the two.
TEST(IncludeTest, NoNameIsBothPublicAndTheHubs) {
  std::set<std::string> public_names;
  for (const File& file : files()) {
    if (file.folder() == "include/phub" && file.ends_with(".h")) public_names.insert(file.name());
  }
  ASSERT_TRUE(public_names.contains("worker.h"));
  std::vector<std::string> violations;
  for (const File& file : files()) {
    if (file.folder() == "phub" && public_names.contains(file.name())) {
      violations.push_back(file.path + " and include/phub/" + file.name());
    }
  }
  expect_none(violations);
}

}  // namespace
}  // namespace phub::repo
