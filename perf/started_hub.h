// Hubs of a measurement: phubd as a child process, ready for workers.
#pragma once

#include <phub/status.h>

#include <memory>
#include <string>
#include <vector>

#include "perf/case.h"
#include "perf/process.h"

namespace phub::perf {

// A folder of its own for sockets and certificates, removed with what is in it.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }  // Empty: none could be made.

 private:
  std::string path_;
};

struct StartedHub {
  Process process;
  std::string local;   // shm:// address; empty: it does not listen there.
  std::string remote;  // Address of another scheme; empty likewise.
};

// The case's hubs, each with a socket of its own in `folder`. Colocated ones listen on both.
// unavailable: one did not get ready; with what it said.
Result<std::vector<StartedHub>> start_hubs(const std::string& phubd, const Case& one,
                                           const std::string& folder, const base::Fd& output);

// What `rank` takes for PHUB_HUB: a colocated rank reaches the hub of its own number over shared
// memory.
std::string hubs_for(const Case& one, const std::vector<StartedHub>& hubs, uint32_t rank);

}  // namespace phub::perf
