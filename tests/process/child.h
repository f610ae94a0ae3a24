// A child process whose standard output is read line by line, with deadlines.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"

namespace phub::process {

// Where a child lives; by default where its parent does.
struct ChildPlace {
  int network = -1;           // A network namespace.
  std::string hidden_folder;  // Empty for the child, as in a container of its own. Needs root.
};

class Child {
 public:
  // argv[0] is the program's path. Check-fails if it cannot be started. It dies with the thread
  // that made it.
  explicit Child(const std::vector<std::string>& argv, const ChildPlace& place = {});
  Child(Child&& other) noexcept;
  ~Child();  // Kills it if it still runs.

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  // The next line that begins with `prefix`; others are skipped. Nothing: not within `patience`.
  std::optional<std::string> wait_line(const std::string& prefix,
                                       std::chrono::milliseconds patience);
  // The exit status, or -signal. Nothing: still running after `patience`.
  std::optional<int> wait_exit(std::chrono::milliseconds patience);

 private:
  pid_t pid_ = -1;
  base::Fd output_;
  std::string buffer_;
};

}  // namespace phub::process
