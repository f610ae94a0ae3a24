// Limits of control groups. A process is bound by its own group and by every one above; in a
// container the groups above may be out of sight, and its own may look like the root.
#include <algorithm>
#include <fstream>
#include <sstream>

#include "phub/doctor/facts.h"

namespace phub::doctor {
namespace {

// Version 1 writes "no limit" as a number near 2^63.
constexpr uint64_t kNoLimit = uint64_t{1} << 60;

std::string line_of(const std::string& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

std::optional<double> number_of(const std::string& text) {
  std::istringstream stream(text);
  double number = 0;
  if (!(stream >> number)) return std::nullopt;
  return number;
}

// The group itself, then those above it: "/a/b", "/a", "".
std::vector<std::string> upwards(std::string path) {
  std::vector<std::string> paths;
  while (path.size() > 1) {
    paths.push_back(path);
    path.resize(path.rfind('/'));
  }
  paths.emplace_back();
  return paths;
}

template <typename T>
void tighten(std::optional<T>& limit, T other) {
  limit = limit ? std::min(*limit, other) : other;
}

void read_memory_limit(const std::string& file, Facts& facts) {
  const std::optional<double> bytes = number_of(line_of(file));
  if (!bytes || *bytes >= static_cast<double>(kNoLimit)) return;  // "max", or no such file.
  tighten(facts.cgroup_memory_bytes, static_cast<uint64_t>(*bytes));
}

void tighten_cpus(std::optional<double> quota, std::optional<double> period, Facts& facts) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return;  // "max" or -1: no limit.
  tighten(facts.cgroup_cpus, *quota / *period);
}

// "0::/a/b": all limits in one tree. `mount`: where that tree is.
void read_version_2(const std::string& mount, const std::string& group, Facts& facts) {
  for (const std::string& path : upwards(group)) {
    read_memory_limit(mount + path + "/memory.max", facts);
    std::istringstream words(line_of(mount + path + "/cpu.max"));
    std::string quota;
    std::string period;
    words >> quota >> period;
    tighten_cpus(number_of(quota), number_of(period), facts);
  }
}

// "4:memory:/a/b": a tree for each controller.
void read_version_1(const std::string& mount, const std::string& controllers,
                    const std::string& group, Facts& facts) {
  const auto has = [&controllers](const std::string& name) {
    return ("," + controllers + ",").find("," + name + ",") != std::string::npos;
  };
  for (const std::string& path : upwards(group)) {
    if (has("memory")) {
      read_memory_limit(mount + "/memory" + path + "/memory.limit_in_bytes", facts);
    }
    if (!has("cpu")) continue;
    const std::string folder = mount + "/cpu" + path;
    tighten_cpus(number_of(line_of(folder + "/cpu.cfs_quota_us")),
                 number_of(line_of(folder + "/cpu.cfs_period_us")), facts);
  }
}

}  // namespace

void read_cgroups(const std::string& root, Facts& facts) {
  const std::string mount = root + "/sys/fs/cgroup";
  std::ifstream groups(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {  // HIERARCHY:CONTROLLERS:PATH
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    if (!controllers.empty()) {
      read_version_1(mount, controllers, group, facts);
      continue;
    }
    read_version_2(mount, group, facts);
    read_version_2(mount + "/unified", group, facts);  // Both versions side by side.
  }
}

}  // namespace phub::doctor
