#include "base/clock.h"

#include <time.h>

namespace phub::base {

Instant now() {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return {int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec};
}

}  // namespace phub::base
