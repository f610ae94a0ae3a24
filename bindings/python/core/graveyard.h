// Where connections end: without the GIL, never on a thread of the library, and not at all in a
// forked child, where the library's thread is missing and the sockets are the parent's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "completion.h"

namespace phub::python {

// Runs `destroy` as said above: now, or at the next bury_dead() where a callback must not.
void bury(uint32_t made_in, std::shared_ptr<Garbage> garbage, std::function<void()> destroy);
// Destroys what callbacks let go. REQUIRES: the GIL.
void bury_dead();

}  // namespace phub::python
