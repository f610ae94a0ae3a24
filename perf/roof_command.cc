// `phub-perf roof`: what this machine's caches and memory can do, and the hub's bound.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/memory.h"
#include "base/try.h"
#include "perf/arguments.h"
#include "perf/commands.h"
#include "perf/machine.h"
#include "perf/roof.h"
#include "perf/roof_loops.h"

namespace phub::perf {
namespace {

constexpr Flag kFlags[] = {
    {"threads", "threads, a list", "1,2"},
    {"ranks", "ranks of the hub's bound, a list", "2,4,8"},
    {"hub-size", "bytes per rank of the hub's bound, a list", "32KiB,1MiB,64MiB"},
    {"milliseconds", "per try", "50"},
    {"json", "one JSON object a line instead of a table", "", true},
};

struct Level {
  const char* name;
  uint64_t bytes;  // Of one thread, all its buffers together.
};

struct Printer {
  bool is_json = false;

  void row(const char* loop, const char* level, uint64_t bytes, uint32_t threads, uint32_t ranks,
           double GBps) const {
    if (is_json) {
      const nlohmann::ordered_json object = {{"loop", loop},   {"level", level},
                                             {"bytes", bytes}, {"threads", threads},
                                             {"ranks", ranks}, {"GBps", GBps}};
      std::printf("%s\n", object.dump().c_str());
    } else {
      std::printf("%-14s %-5s %12llu %8u %6u %9.1f\n", loop, level,
                  static_cast<unsigned long long>(bytes), threads, ranks, GBps);
    }
  }
};

// The loops of one memory level. Bytes counted: read: loaded; copy: written; sum: added.
Status measure_level(const Level& level, uint32_t threads, double seconds, const Printer& printer) {
  std::vector<base::Mapping> memory;
  for (uint32_t t = 0; t < threads; ++t) {
    PHUB_TRY_ASSIGN(base::Mapping mapping, base::Mapping::anonymous(level.bytes));
    memory.push_back(std::move(mapping));
  }
  const size_t half = level.bytes / 2 / sizeof(float);
  const auto first = [&](uint32_t t) { return reinterpret_cast<float*>(memory[t].data()); };
  const auto half_of = [&](uint32_t t) { return std::span<const float>(first(t), half); };
  volatile uint64_t sink = 0;
  const auto report = [&](const char* loop, uint64_t bytes, auto work) {
    const double taken = time_threads(threads, seconds, 3, work);
    printer.row(loop, level.name, level.bytes, threads, 0,
                static_cast<double>(bytes * threads) / taken / 1e9);
  };
  report("read", level.bytes,
         [&](uint32_t t) { sink = load_only(std::span<const float>(first(t), 2 * half)); });
  report("copy", level.bytes / 2, [&](uint32_t t) { copy(half_of(t), first(t) + half); });
  report("copy_stream", level.bytes / 2,
         [&](uint32_t t) { copy_streaming(half_of(t), first(t) + half); });
  report("sum", level.bytes / 2, [&](uint32_t t) { add(half_of(t), first(t) + half); });
  return Status();
}

Status measure(const Arguments& arguments) {
  const Printer printer{arguments.is_set("json")};
  PHUB_TRY_ASSIGN(const uint64_t ms, arguments.number("milliseconds", 1, 10'000));
  PHUB_TRY_ASSIGN(const std::vector<uint64_t> threads, arguments.numbers("threads", 1, 1024));
  PHUB_TRY_ASSIGN(const std::vector<uint64_t> ranks, arguments.numbers("ranks", 1, 1024));
  PHUB_TRY_ASSIGN(const std::vector<uint64_t> sizes, arguments.byte_sizes("hub-size"));
  const Machine machine = this_machine();
  // A quarter of the L2, a quarter of the L3 shared by all threads, and four times the L3.
  const uint64_t l2 = machine.l2_bytes != 0 ? machine.l2_bytes : 1u << 20;
  const uint64_t l3 = machine.l3_bytes != 0 ? machine.l3_bytes : 32u << 20;
  if (!printer.is_json) {
    std::printf("# %s, %u cores, L2 %llu KiB, L3 %llu KiB, %s, PHub %s\n", machine.cpu.c_str(),
                machine.cores, static_cast<unsigned long long>(l2 >> 10),
                static_cast<unsigned long long>(l3 >> 10), machine.kernel.c_str(),
                machine.revision.c_str());
    std::printf(
        "# GB/s of bytes read (read), written (copy), added (sum), taken in and given out "
        "(hub)\n# loop        level        bytes  threads  ranks      GB/s\n");
  }
  const double seconds = static_cast<double>(ms) / 1e3;
  for (const uint64_t count : threads) {
    const uint32_t thread_count = static_cast<uint32_t>(count);
    const Level levels[] = {{"L2", base::align_up(l2 / 4, 4096)},
                            {"L3", base::align_up(l3 / 4 / count, 4096)},
                            {"DRAM", base::align_up(4 * l3, 4096)}};
    for (const Level& level : levels)
      PHUB_TRY(measure_level(level, thread_count, seconds, printer));
    for (const uint64_t bytes : sizes) {
      for (const uint64_t rank_count : ranks) {
        PHUB_TRY_ASSIGN(HubRoof roof,
                        HubRoof::create(bytes, static_cast<uint32_t>(rank_count), thread_count));
        const double us = roof.measure_us();
        printer.row("hub", "", bytes, thread_count, static_cast<uint32_t>(rank_count),
                    static_cast<double>(bytes * rank_count) / us / 1e3);
      }
    }
  }
  return Status();
}

}  // namespace

int run_roof(Words words) {
  if (print_help(words, "roof", kFlags)) return 0;
  const Result<Arguments> arguments = Arguments::parse(words, kFlags);
  if (!arguments.ok()) return fail(arguments.status());
  const Status status = measure(*arguments);
  return status.ok() ? 0 : fail(status);
}

}  // namespace phub::perf
