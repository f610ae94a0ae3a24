// Child processes of a measurement: started, watched, and gone when their owner is.
#pragma once

#include <phub/status.h>
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"

namespace phub::perf {

class Process {
 public:
  // argv[0] is looked up in PATH. The child's output goes to `output` (a file descriptor; -1 leaves
  // it). Descriptors in `kept` stay open in the child. The child dies with this process.
  // not_found: no such program.
  static Result<Process> start(const std::vector<std::string>& argv, int output,
                               const std::vector<int>& kept = {});

  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;
  ~Process() { stop(std::chrono::milliseconds(500)); }

  pid_t id() const { return id_; }
  // The exit status once it has ended (128 + n for signal n), without waiting.
  std::optional<int> exit_status();
  // SIGTERM; SIGKILL after `grace`. Returns when it is gone.
  void stop(std::chrono::milliseconds grace);

 private:
  explicit Process(pid_t id) : id_(id) {}
  pid_t id_ = -1;
  std::optional<int> status_;
};

// A file without a name for children's output, and what the last lines of it say.
Result<base::Fd> make_output_file();
std::string tail_of(const base::Fd& output, size_t bytes_max = 2000);

// The folder of the running program, for programs that live beside it.
std::string program_folder();

}  // namespace phub::perf
