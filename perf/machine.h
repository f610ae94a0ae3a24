// What a result depends on besides the code: the machine, the revision; and what a process uses.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace phub::perf {

struct Machine {
  std::string host;
  std::string cpu;     // "AMD EPYC".
  std::string kernel;  // "Linux 6.1.0".
  uint32_t cores = 0;  // That this process may use.
  uint64_t memory_bytes = 0;
  uint64_t l2_bytes = 0;  // Per core; 0: unknown.
  uint64_t l3_bytes = 0;
  std::string revision;  // Of PHub, as the build saw it.
};

Machine this_machine();

// What a hub holds of the machine's memory now: its own (RssAnon) and the rings that it shares with
// workers. Their tensors are theirs. 0: no such process.
uint64_t hub_bytes(pid_t process);
// Processor time a process has used, all threads, in seconds.
double cpu_seconds(pid_t process);

}  // namespace phub::perf
