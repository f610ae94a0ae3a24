// phub-perf's commands: each takes the words behind its name and returns the exit status.
// 0: done and everything right. 1: something failed or a result was wrong. 2: bad usage.
#pragma once

#include <phub/status.h>

#include <span>

#include "perf/arguments.h"

namespace phub::perf {

using Words = std::span<const char* const>;

int run_exchange(Words words);
int run_forms(Words words);
int run_worker(Words words);  // Hidden: one rank of `exchange`.
int run_roof(Words words);
int run_kernels(Words words);
int run_compare(Words words);
int run_shard(Words words);

// Whether --help is among the words; then prints the command's options.
bool print_help(Words words, const char* command, std::span<const Flag> flags);

// Prints "phub-perf: MESSAGE"; 2 for invalid_argument, else 1.
int fail(const Status& status);

}  // namespace phub::perf
