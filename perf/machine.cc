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
  const long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
  const long l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
  machine.l2_bytes = l2 > 0 ? static_cast<uint64_t>(l2) : 0;
  machine.l3_bytes = l3 > 0 ? static_cast<uint64_t>(l3) : 0;
  machine.revision = PHUB_REVISION;
  return machine;
}

uint64_t private_bytes(pid_t process) {
  const std::string text = field_of("/proc/" + std::to_string(process) + "/status", "RssAnon");
  return text.empty() ? 0 : std::stoull(text) * 1024;
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
