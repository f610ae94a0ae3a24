#include "graveyard.h"

#include <mutex>
#include <utility>
#include <vector>

#include "interpreter.h"

namespace phub::python {
namespace {

struct Dead {
  uint32_t made_in;
  std::shared_ptr<Garbage> garbage;
  std::function<void()> destroy;
};

// Those whose last user was a callback: their own thread cannot join itself.
struct Graveyard {
  std::mutex mutex;
  std::vector<Dead> dead;
};

Graveyard& graveyard() {
  static auto* const yard = new Graveyard();
  return *yard;
}

}  // namespace

void bury(uint32_t made_in, std::shared_ptr<Garbage> garbage, std::function<void()> destroy) {
  if (made_in != fork_count()) return;  // Another process's.
  if (is_inside_callback()) {
    const std::lock_guard lock(graveyard().mutex);
    graveyard().dead.push_back({made_in, std::move(garbage), std::move(destroy)});
    return;
  }
  if (PyGILState_Check() == 0) return destroy();
  {
    const nb::gil_scoped_release unlocked;  // It waits, and what it ends calls back.
    destroy();
  }
  garbage->empty();
}

void bury_dead() {
  if (is_inside_callback()) return;
  std::vector<Dead> dead;
  {
    const std::lock_guard lock(graveyard().mutex);
    dead.swap(graveyard().dead);
  }
  for (Dead& one : dead) bury(one.made_in, std::move(one.garbage), std::move(one.destroy));
}

}  // namespace phub::python
