// The one place where threads are started: named, optionally pinned to a core, joined on
// destruction.
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace phub::base {

class Thread {
 public:
  Thread() = default;
  // name: at most 15 characters are visible in tools. core: -1 leaves the thread unpinned.
  Thread(std::string name, int core, std::function<void()> body);
  Thread(Thread&&) = default;
  Thread& operator=(Thread&&) = default;
  ~Thread() { join(); }

  void join();  // Returns when the body has; at once if there is none.

 private:
  std::thread thread_;
};

// Cores that this process may run on, ascending (sched_getaffinity).
std::vector<int> allowed_cores();

}  // namespace phub::base
