// The plainest loops that move memory: what the machine can do, to hold PHub's code against.
//
// Each is one thread's work on its own buffers, 64-byte aligned, lengths multiples of 4 KiB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace phub::perf {

// Loads every byte; returns something made of them, so that the loads stay.
uint64_t load_only(std::span<const float> source);
// The same over several sources of equal length, in the order in which fold() reads them.
uint64_t load_only(std::span<const float* const> sources, size_t count);

void copy(std::span<const float> source, float* target);
void copy_streaming(std::span<const float> source, float* target);  // Non-temporal stores.
void add(std::span<const float> source, float* target);             // target += source.

// What a hub does to one chunk at the very least: the sum of all sources into every target, by
// non-temporal stores. N reads and N writes per element, in blocks of block_floats (at most
// kExchangeBlocks' largest): which block is best depends on the machine and on N, so a bound is the
// best over all of them.
constexpr size_t kExchangeBlocks[] = {64, 256, 1024, 4096};
void exchange(std::span<const float* const> sources, std::span<float* const> targets, size_t count,
              size_t block_floats = 1024);

}  // namespace phub::perf
