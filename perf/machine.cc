#include "perf/machine.h"

#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "base/thread.h"

namespace phub::perf {
namespace {

// The value of the first line "key : value" (or "key:\tvalue") of a file in /proc.
std::string field_of(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || !line.starts_with(key)) continue;
    const size_t start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

// Bytes of the first core's cache of this level, as the kernel tells it; 0: it does not. (The C
// library's answer is the sum over all cores of the processor on some machines.)
uint64_t cache_bytes(const std::string& level) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder =
        "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    std::ifstream level_file(folder + "level");
    std::ifstream size_file(folder + "size");
    std::string found;
    uint64_t kib = 0;
    if (level_file >> found && found == level && size_file >> kib) return kib * 1024;
  }
  return 0;
}

}  // namespace

Machine this_machine() {
  Machine machine;
  utsname name = {};
  uname(&name);
  machine.host = name.nodename;
  machine.kernel = std::string(name.sysname) + " " + name.release;
  machine.cpu = field_of("/proc/cpuinfo", "model name");
  machine.cores = static_cast<uint32_t>(base::allowed_cores().size());
  struct sysinfo info = {};
  sysinfo(&info);
  machine.memory_bytes = uint64_t{info.totalram} * info.mem_unit;
  machine.l2_bytes = cache_bytes("2");
  machine.l3_bytes = cache_bytes("3");
  machine.revision = PHUB_REVISION;
  return machine;
}

uint64_t hub_bytes(pid_t process) {
  const std::string folder = "/proc/" + std::to_string(process);
  const std::string anonymous = field_of(folder + "/status", "RssAnon");
  uint64_t kib = anonymous.empty() ? 0 : std::stoull(anonymous);
  std::ifstream maps(folder + "/smaps");
  bool is_ring = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(" /memfd:") != std::string::npos) {
      is_ring = line.find("/memfd:phub-rings") != std::string::npos;
    } else if (is_ring && line.starts_with("Rss:")) {
      kib += std::stoull(line.substr(4));
      is_ring = false;
    }
  }
  return kib * 1024;
}

double cpu_seconds(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t end = text.rfind(')');  // The name may contain spaces.
  if (end == std::string::npos) return 0;
  std::istringstream fields(text.substr(end + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  uint64_t user = 0;
  uint64_t system = 0;
  fields >> user >> system;
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace phub::perf
