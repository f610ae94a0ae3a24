// Counts every call of the global operator new in this program.
#pragma once

#include <cstdint>

namespace phub::transport {
uint64_t allocation_count();
}  // namespace phub::transport
