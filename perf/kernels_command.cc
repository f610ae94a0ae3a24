// `phub-perf kernels`: the sums and the last pass against loops that only load, or only move.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/memory.h"
#include "base/try.h"
#include "kernels/finish.h"
#include "kernels/isa.h"
#include "kernels/reduce.h"
#include "perf/arguments.h"
#include "perf/commands.h"
#include "perf/machine.h"
#include "perf/roof.h"
#include "perf/roof_loops.h"

namespace phub::perf {
namespace {

constexpr Flag kFlags[] = {
    {"milliseconds", "per try", "30"},
    {"tries", "the best counts", "5"},
    {"chunk-bytes", "bytes of a chunk in the cache", "32KiB"},
    {"dram-bytes", "bytes per source in memory", "32MiB"},
    {"ranks", "ranks of the last pass", "4"},
    {"json", "one JSON object a line instead of a table", "", true},
};

constexpr size_t kSources = kernels::kFoldSourcesMax;

class Bench {
 public:
  Status open(const Arguments& arguments) {
    PHUB_TRY_ASSIGN(const uint64_t ms, arguments.number("milliseconds", 1, 10'000));
    PHUB_TRY_ASSIGN(const uint64_t tries, arguments.number("tries", 1, 1000));
    PHUB_TRY_ASSIGN(const std::vector<uint64_t> chunk, arguments.byte_sizes("chunk-bytes"));
    PHUB_TRY_ASSIGN(const std::vector<uint64_t> dram, arguments.byte_sizes("dram-bytes"));
    PHUB_TRY_ASSIGN(ranks_, arguments.number("ranks", 1, kSources));
    if (chunk.size() != 1 || dram.size() != 1 || chunk[0] % 4096 != 0 || dram[0] % 4096 != 0 ||
        chunk[0] == 0 || dram[0] < chunk[0]) {
      return Status(Code::invalid_argument,
                    "--chunk-bytes and --dram-bytes: one multiple of 4096 each, the second larger");
    }
    seconds_ = static_cast<double>(ms) / 1e3;
    tries_ = static_cast<uint32_t>(tries);
    chunk_bytes_ = chunk[0];
    dram_bytes_ = dram[0];
    is_json_ = arguments.is_set("json");
    for (size_t i = 0; i < kSources; ++i) {
      PHUB_TRY_ASSIGN(base::Mapping source, base::Mapping::anonymous(dram_bytes_));
      PHUB_TRY_ASSIGN(base::Mapping target, base::Mapping::anonymous(dram_bytes_));
      sources_.push_back(std::move(source));
      targets_.push_back(std::move(target));
    }
    for (base::Mapping& state : state_) {
      PHUB_TRY_ASSIGN(state, base::Mapping::anonymous(dram_bytes_));
    }
    return Status();
  }

  void run() {
    if (!is_json_) {
      const Machine machine = this_machine();
      std::printf("# %s, kernels on %s, one thread, PHub %s\n", machine.cpu.c_str(),
                  kernels::isa_name(), machine.revision.c_str());
      std::printf(
          "# fold: %zu sources into one accumulator; GB/s of source bytes; %% of a loop "
          "that only loads them\n",
          kSources);
      std::printf("%-34s %10s %9s %8s\n", "# kernel", "bytes/src", "GB/s", "%");
    }
    for (const DataType type : {DataType::fp32, DataType::fp16, DataType::bf16, DataType::fp64,
                                DataType::int32, DataType::int64}) {
      measure_fold(type, chunk_bytes_);
      measure_fold(type, dram_bytes_);
    }
    if (!is_json_) {
      std::printf(
          "# finish: %llu ranks summed, optimized, written to %llu; GB/s taken in (and given "
          "out); %% of the hub's bound\n",
          static_cast<unsigned long long>(ranks_), static_cast<unsigned long long>(ranks_));
    }
    for (const uint64_t bytes : {chunk_bytes_, dram_bytes_}) measure_finish(bytes);
  }

 private:
  double time(const std::function<void()>& work) const {
    return time_threads(1, seconds_, 1, [&](uint32_t) { work(); });
  }

  void print(const std::string& name, uint64_t bytes, double GBps, double percent) const {
    if (is_json_) {
      const nlohmann::ordered_json object = {
          {"kernel", name}, {"bytes", bytes}, {"GBps", GBps}, {"percent", percent}};
      std::printf("%s\n", object.dump().c_str());
    } else {
      std::printf("%-34s %10llu %9.1f %8.1f\n", name.c_str(),
                  static_cast<unsigned long long>(bytes), GBps, percent);
    }
  }

  // The two loops take turns, so that a busy machine disturbs both.
  void measure_fold(DataType type, uint64_t bytes) {
    const void* raw[kSources];
    const float* floats[kSources];
    for (size_t i = 0; i < kSources; ++i) {
      raw[i] = sources_[i].data();
      floats[i] = reinterpret_cast<const float*>(sources_[i].data());
    }
    volatile uint64_t sink = 0;
    double fold_best = 1e9;
    double load_best = 1e9;
    const size_t count = bytes / size_of(type);
    // In chunks, as a shard does: the accumulator of a chunk stays in the cache.
    const size_t chunk = std::min<size_t>(count, chunk_bytes_ / size_of(type));
    const auto fold = [&] {
      for (size_t first = 0; first < count; first += chunk) {
        const void* at[kSources];
        for (size_t i = 0; i < kSources; ++i) {
          at[i] = static_cast<const std::byte*>(raw[i]) + first * size_of(type);
        }
        kernels::fold(type, ReduceOp::sum, at, false, targets_[0].data(),
                      std::min(chunk, count - first));
      }
    };
    const auto load = [&] {
      const size_t floats_per_chunk = chunk_bytes_ / sizeof(float);
      for (size_t first = 0; first < bytes / sizeof(float); first += floats_per_chunk) {
        const float* at[kSources];
        for (size_t i = 0; i < kSources; ++i) at[i] = floats[i] + first;
        sink = load_only(at, std::min(floats_per_chunk, bytes / sizeof(float) - first));
      }
    };
    for (uint32_t attempt = 0; attempt < tries_; ++attempt) {
      fold_best = std::min(fold_best, time(fold));
      load_best = std::min(load_best, time(load));
    }
    const std::string name = "fold " + std::string(to_string(type));
    print(name, bytes, static_cast<double>(bytes * kSources) / fold_best / 1e9,
          100 * load_best / fold_best);
    if (type == DataType::fp32) {
      print("load only", bytes, static_cast<double>(bytes * kSources) / load_best / 1e9, 100);
    }
  }

  // What each part of the last pass costs: everything, optimizers, stores, and the sum left out.
  void measure_finish(uint64_t bytes) {
    struct Variant {
      std::string name;
      OptimizerKind optimizer;
      kernels::Stores stores;
      bool is_summing;
    };
    std::vector<Variant> variants;
    for (const kernels::Stores stores :
         {kernels::Stores::non_temporal, kernels::Stores::ordinary}) {
      const std::string label =
          stores == kernels::Stores::ordinary ? ", ordinary stores" : ", streaming stores";
      variants.push_back({"aggregation off" + label, OptimizerKind::none, stores, false});
      variants.push_back({"sum, optimizer off" + label, OptimizerKind::none, stores, true});
      for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::momentum,
                                       OptimizerKind::nesterov, OptimizerKind::adam}) {
        variants.push_back({"sum, " + std::string(to_string(kind)) + label, kind, stores, true});
      }
    }
    std::vector<double> best(variants.size() + 1, 1e9);  // The last: the bound.
    for (uint32_t attempt = 0; attempt < tries_; ++attempt) {
      for (size_t i = 0; i < variants.size(); ++i) {
        const Variant& variant = variants[i];
        best[i] =
            std::min(best[i], time([&] {
                       finish_all(bytes, variant.optimizer, variant.stores, variant.is_summing);
                     }));
      }
      for (const size_t block : kExchangeBlocks) {
        best.back() = std::min(best.back(), time([&] { exchange_all(bytes, block); }));
      }
    }
    const double moved = static_cast<double>(bytes * ranks_) / 1e9;
    print("bound", bytes, moved / best.back(), 100);
    for (size_t i = 0; i < variants.size(); ++i) {
      print(variants[i].name, bytes, moved / best[i], 100 * best.back() / best[i]);
    }
  }

  void finish_all(uint64_t bytes, OptimizerKind kind, kernels::Stores stores, bool is_summing) {
    const void* sources[kSources];
    void* targets[kSources];
    kernels::FinishInput input;
    input.step.options.kind = kind;
    input.step.options.learning_rate = 1e-3f;
    input.stores = stores;
    input.contributor_count = static_cast<uint32_t>(ranks_);
    for (uint64_t first = 0; first < bytes; first += chunk_bytes_) {
      for (size_t i = 0; i < ranks_; ++i) {
        sources[i] = sources_[i].data() + first;
        targets[i] = targets_[i].data() + first;
      }
      input.count = std::min(chunk_bytes_, bytes - first) / sizeof(float);
      input.outputs = std::span<void* const>(targets, ranks_);
      if (!is_summing) {
        kernels::copy_out(DataType::fp32, sources[0], input.outputs, input.count, stores, nullptr);
        continue;
      }
      input.sources = std::span<const void* const>(sources, ranks_);
      input.state = {state_at(0, first), state_at(1, first), state_at(2, first)};
      kernels::finish(input);
    }
  }

  void exchange_all(uint64_t bytes, size_t block) {
    const float* sources[kSources];
    float* targets[kSources];
    for (uint64_t first = 0; first < bytes; first += chunk_bytes_) {
      for (size_t i = 0; i < ranks_; ++i) {
        sources[i] = reinterpret_cast<const float*>(sources_[i].data() + first);
        targets[i] = reinterpret_cast<float*>(targets_[i].data() + first);
      }
      exchange(std::span<const float* const>(sources, ranks_),
               std::span<float* const>(targets, ranks_),
               std::min(chunk_bytes_, bytes - first) / sizeof(float), block);
    }
  }

  float* state_at(size_t index, uint64_t first) const {
    return reinterpret_cast<float*>(state_[index].data() + first);
  }

  double seconds_ = 0;
  uint32_t tries_ = 1;
  uint64_t chunk_bytes_ = 0;
  uint64_t dram_bytes_ = 0;
  uint64_t ranks_ = 0;
  bool is_json_ = false;
  std::vector<base::Mapping> sources_, targets_;
  base::Mapping state_[3];
};

}  // namespace

int run_kernels(Words words) {
  if (print_help(words, "kernels", kFlags)) return 0;
  const Result<Arguments> arguments = Arguments::parse(words, kFlags);
  if (!arguments.ok()) return fail(arguments.status());
  Bench bench;
  const Status opened = bench.open(*arguments);
  if (!opened.ok()) return fail(opened);
  bench.run();
  return 0;
}

}  // namespace phub::perf
