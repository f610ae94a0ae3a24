// What the faulty decorator does where the conformance suite runs under it, whatever is inside.
#pragma once

#include "transport/faulty.h"

namespace phub::transport {

inline constexpr FaultyOptions kConformanceFaults{.seed = 53,
                                                  .repeat = 0.3,
                                                  .hold = 0.4,
                                                  .hold_polls_max = 6,
                                                  .partial_put = 0.5,
                                                  .spurious_wake = 0.3};

}  // namespace phub::transport
