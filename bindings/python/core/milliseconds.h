// Python's seconds as the library's milliseconds.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>

#include "errors.h"

namespace phub::python {

// Rounded up, so that a positive time stays one.
inline std::chrono::milliseconds to_milliseconds(double seconds) {
  if (!(seconds >= 0)) {
    raise(Code::invalid_argument,
          "timeout of " + std::to_string(seconds) + " s; want seconds, 0 or more");
  }
  return std::chrono::milliseconds(static_cast<int64_t>(std::min(std::ceil(seconds * 1000), 1e12)));
}

}  // namespace phub::python
