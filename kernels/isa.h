// Which instruction set the kernels run on: the best of the machine, or the one that is forced.
//
// Names: "SSSE3", "SSE4", "AVX2", "AVX3" (AVX-512), ... are Highway's targets, each compiled from
// the same source; "PLAIN" is its portable one. "SCALAR" is the oracle (scalar.h) instead of them.
// PHUB_ISA in the environment forces one, in any case of letters ("avx2", "scalar"); it is read
// once, at the first call of a kernel. A name that is unknown here or unsupported by the machine is
// reported in the log and the best set is used: a variable left over from another machine must not
// stop a hub. isa_name() always tells what really runs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <phub/status.h>

namespace phub::kernels {

// The instruction set in use, for example "AVX2".
const char* isa_name();

// What this machine can run, best first; the last is "SCALAR".
std::vector<std::string> supported_isas();

// Switches every kernel of the process. For tests and benchmarks: no kernel may be running.
// invalid_argument: unknown or unsupported name; nothing changes.
Status force_isa(std::string_view name);

// For the kernels themselves: settles the instruction set at the first call; true when the oracle
// takes the place of the vector code.
bool oracle_forced();

}  // namespace phub::kernels
