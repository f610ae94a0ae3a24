// What a process has moved over TCP, as the kernel counts it.
#pragma once

#include <phub/status.h>
#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace phub::perf {

// For each process, the payload bytes that its open TCP connections have sent (and seen
// acknowledged) and received, so far. Source: sock_diag(7), tcp_info.
// unavailable: the kernel does not answer.
Result<std::vector<uint64_t>> tcp_bytes(const std::vector<pid_t>& processes);

}  // namespace phub::perf
