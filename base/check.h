// Checks for bugs: ours, or a caller's broken REQUIRES. Never for bad input, which is a Status.
#pragma once

namespace phub::base {
// Prints "check failed: CONDITION (FILE:LINE)" on stderr and aborts.
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}  // namespace phub::base

// Always on; for control paths.
#define PHUB_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::phub::base::check_failed(#condition, __FILE__, __LINE__))

// For hot loops: on unless NDEBUG.
#ifdef NDEBUG
#define PHUB_DCHECK(condition) static_cast<void>(sizeof((condition) ? 1 : 0))
#else
#define PHUB_DCHECK(condition) PHUB_CHECK(condition)
#endif
