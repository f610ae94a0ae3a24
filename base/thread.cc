#include "base/thread.h"

#include <pthread.h>
#include <sched.h>

namespace phub::base {

Thread::Thread(std::string name, int core, std::function<void()> body)
    : thread_([name = std::move(name), core, body = std::move(body)] {
        ::pthread_setname_np(::pthread_self(), name.substr(0, 15).c_str());
        if (core >= 0) {
          cpu_set_t cores;
          CPU_ZERO(&cores);
          CPU_SET(static_cast<size_t>(core), &cores);
          ::pthread_setaffinity_np(::pthread_self(), sizeof(cores), &cores);
        }
        body();
      }) {}

void Thread::join() {
  if (thread_.joinable()) thread_.join();
}

std::vector<int> allowed_cores() {
  std::vector<int> cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return {0};
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(static_cast<size_t>(core), &set)) cores.push_back(core);
  }
  return cores;
}

}  // namespace phub::base
