#include "phub/doctor/facts.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace phub::doctor {
namespace {

// The whole file; empty if there is none.
std::string text_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::string line_of(const std::string& path) {
  std::string line;
  std::istringstream text(text_of(path));
  std::getline(text, line);
  return line;
}

std::optional<uint64_t> number_of(const std::string& text) {
  uint64_t number = 0;
  std::istringstream stream(text);
  if (!(stream >> number)) return std::nullopt;
  return number;
}

// "always [madvise] never": the one that holds.
std::string chosen_of(const std::string& path) {
  const std::string line = line_of(path);
  const size_t begin = line.find('[');
  const size_t end = line.find(']');
  if (begin == std::string::npos || end == std::string::npos || end < begin) return "";
  return line.substr(begin + 1, end - begin - 1);
}

// "Max open files   1024   524288   files" of /proc/self/limits.
std::optional<Limit> limit_of(const std::string& limits, const std::string& name) {
  const size_t row = limits.find(name);
  if (row == std::string::npos) return std::nullopt;
  std::istringstream words(limits.substr(row + name.size(), 80));
  const auto next = [&words] {
    std::string word;
    words >> word;
    return word == "unlimited" ? std::optional<uint64_t>(kUnlimited) : number_of(word);
  };
  const std::optional<uint64_t> soft = next();
  const std::optional<uint64_t> hard = next();
  if (!soft || !hard) return std::nullopt;
  return Limit{*soft, *hard};
}

// "MemTotal:  24680428 kB" of /proc/meminfo, in bytes.
std::optional<uint64_t> memory_of(const std::string& meminfo, const std::string& name) {
  const size_t row = meminfo.find(name + ":");
  if (row == std::string::npos) return std::nullopt;
  const std::optional<uint64_t> kib = number_of(meminfo.substr(row + name.size() + 1, 40));
  if (!kib) return std::nullopt;
  return *kib * 1024;
}

// The third number of tcp_rmem and tcp_wmem.
std::optional<uint64_t> third_of(const std::string& path) {
  std::istringstream words(line_of(path));
  uint64_t number = 0;
  for (int i = 0; i < 3; ++i) {
    if (!(words >> number)) return std::nullopt;
  }
  return number;
}

// Node lists are "0", "0-1" or "0,2-3".
uint32_t count_of_list(const std::string& list) {
  std::istringstream ranges(list);
  std::string range;
  uint32_t count = 0;
  while (std::getline(ranges, range, ',')) {
    const size_t dash = range.find('-');
    const uint64_t first = number_of(range).value_or(0);
    const uint64_t last =
        dash == std::string::npos ? first : number_of(range.substr(dash + 1)).value_or(first);
    if (last >= first) count += static_cast<uint32_t>(last - first + 1);
  }
  return count;
}

void read_memory(const std::string& root, Facts& facts) {
  const std::string limits = text_of(root + "/proc/self/limits");
  facts.locked_memory_bytes = limit_of(limits, "Max locked memory");
  facts.open_files = limit_of(limits, "Max open files");
  const std::string meminfo = text_of(root + "/proc/meminfo");
  facts.memory_bytes = memory_of(meminfo, "MemTotal");
  facts.memory_available_bytes = memory_of(meminfo, "MemAvailable");
  const std::string huge = root + "/sys/kernel/mm/transparent_hugepage/";
  facts.huge_pages = chosen_of(huge + "enabled");
  facts.shared_huge_pages = chosen_of(huge + "shmem_enabled");
  facts.reserved_huge_pages = number_of(line_of(root + "/proc/sys/vm/nr_hugepages")).value_or(0);
}

void read_processor(const std::string& root, Facts& facts) {
  const std::string system = root + "/sys/devices/system/";
  facts.isolated_cores = line_of(system + "cpu/isolated");
  const std::string smt = line_of(system + "cpu/smt/active");
  if (!smt.empty()) facts.has_smt = smt == "1";
  facts.governor = line_of(system + "cpu/cpu0/cpufreq/scaling_governor");
  facts.numa_nodes = std::max(1u, count_of_list(line_of(system + "node/online")));
  facts.clock_source = line_of(system + "clocksource/clocksource0/current_clocksource");
}

}  // namespace

void read_files(const std::string& root, Facts& facts) {
  read_memory(root, facts);
  read_processor(root, facts);
  facts.tcp_receive_bytes_max = third_of(root + "/proc/sys/net/ipv4/tcp_rmem");
  facts.tcp_send_bytes_max = third_of(root + "/proc/sys/net/ipv4/tcp_wmem");
  facts.kernel = line_of(root + "/proc/sys/kernel/osrelease");
  // A module shows up when it is loaded; what is built in, only among the protocols.
  const std::string protocols = line_of(root + "/proc/sys/net/ipv4/tcp_available_ulp");
  const bool has_tls = (" " + protocols + " ").find(" tls ") != std::string::npos;
  const bool is_known = has_tls || !protocols.empty() || !facts.kernel.empty();
  if (is_known) {
    facts.kernel_tls = Attempt{has_tls, has_tls ? ""
                                                : "tls is not among the protocols that TCP "
                                                  "offers to sockets"};
  }
  read_cgroups(root, facts);
  facts.devices = read_devices(root);
}

}  // namespace phub::doctor
