// phub-perf: how fast PHub is on this machine, beside what the machine can do and what others do.
#include <algorithm>
#include <cstdio>
#include <string_view>

#include "perf/commands.h"

namespace phub::perf {
namespace {

constexpr const char* kUsage =
    "usage: phub-perf COMMAND [--help]\n"
    "  exchange   exchanges of real models' tensors, against all-reduce and the machine's bound\n"
    "  forms      hubs dedicated or colocated, one or several: what each host's link carries\n"
    "  roof       bandwidth of caches and memory, and the hub's own bound\n"
    "  kernels    sums and optimizers against a loop that only loads\n"
    "  shard      one shard fed by many ranks, against its kernels alone\n"
    "  compare    two result files side by side: phub-perf compare A.jsonl B.jsonl\n";

struct Command {
  std::string_view name;
  int (*run)(Words words);
};
constexpr Command kCommands[] = {
    {"exchange", run_exchange}, {"forms", run_forms}, {"worker", run_worker},  {"roof", run_roof},
    {"kernels", run_kernels},   {"shard", run_shard}, {"compare", run_compare}};

}  // namespace

int fail(const Status& status) {
  std::fprintf(stderr, "phub-perf: %s\n", status.message().c_str());
  return status.code() == Code::invalid_argument ? 2 : 1;
}

bool print_help(Words words, const char* command, std::span<const Flag> flags) {
  const bool is_asked =
      std::find(words.begin(), words.end(), std::string_view("--help")) != words.end();
  if (is_asked) std::printf("phub-perf %s\n%s", command, usage(flags).c_str());
  return is_asked;
}

}  // namespace phub::perf

int main(int argc, char** argv) {
  using namespace phub::perf;
  const std::string_view name = argc > 1 ? argv[1] : "--help";
  for (const Command& command : kCommands) {
    if (command.name == name) {
      return command.run(
          Words(const_cast<const char* const*>(argv) + 2, static_cast<size_t>(argc) - 2));
    }
  }
  const bool is_help = name == "--help" || name == "help";
  std::fputs(kUsage, is_help ? stdout : stderr);
  return is_help ? 0 : 2;
}
