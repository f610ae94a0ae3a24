#include "interpreter.h"

#include <pthread.h>

#include <atomic>
#include <mutex>

namespace phub::python {
namespace {

std::atomic<uint32_t> g_fork_count{0};

// Never destroyed: threads of the library may outlive static destruction. A forked child gets its
// own: a thread that the child does not have may hold the parent's.
std::atomic<std::shared_mutex*> g_door{new std::shared_mutex()};
std::shared_mutex& door() { return *g_door.load(std::memory_order_acquire); }

bool g_is_closed = false;  // Under door().

}  // namespace

void watch_forks() {
  ::pthread_atfork(nullptr, nullptr, [] {
    ++g_fork_count;
    g_door.store(new std::shared_mutex(), std::memory_order_release);
  });
}

uint32_t fork_count() { return g_fork_count.load(std::memory_order_relaxed); }

PythonEntry::PythonEntry() : lock_(door()), is_open_(!g_is_closed) {
  if (is_open_) state_ = PyGILState_Ensure();
}

PythonEntry::~PythonEntry() {
  if (is_open_) PyGILState_Release(state_);
}

void close_python() {
  const std::unique_lock lock(door());
  g_is_closed = true;
}

}  // namespace phub::python
