// Keys and the numbers of nodes and groups of nodes.
#pragma once

#include <limits>

#include <ps/internal/utils.h>

namespace ps {

#if defined(USE_KEY32) && USE_KEY32
using Key = uint32_t;
#else
using Key = uint64_t;
#endif
static const Key kMaxKey = std::numeric_limits<Key>::max();

// Groups; sums address several: 7 is everybody, the sender too. Workers are nodes 9, 11, ...,
// servers 8, 10, ...
static const int kScheduler = 1;
static const int kServerGroup = 2;
static const int kWorkerGroup = 4;

}  // namespace ps
