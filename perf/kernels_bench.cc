// The kernels beside loops that move the same bytes and compute nothing, in the same run.
//
//   kernels_bench [--benchmark_filter=REGEX]    bytes per second; arguments: ranks, bytes a rank
//
// Two places: 32 KiB a source (8 of them lie in the L2 cache) and 64 MiB a source, taken in chunks
// of 32 KiB (memory). fold is bound by roof_load_*, finish by roof_exchange. Each benchmark checks
// its result; the exit status is 1 if any was wrong.
#include <benchmark/benchmark.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

#include "base/check.h"
#include "base/memory.h"
#include "kernels/finish.h"
#include "kernels/reduce.h"
#include "perf/roof_loops.h"

namespace phub::perf {
namespace {

using kernels::FinishInput;
using kernels::kFoldSourcesMax;
using kernels::Stores;

constexpr size_t kChunkBytes = 32 << 10;
constexpr size_t kCacheBytes = kChunkBytes;
constexpr size_t kMemoryBytes = 64 << 20;

bool any_wrong = false;

// Sources, where rank k's is k + 1 everywhere, so that sums are exact; outputs; one rank's state.
class Arrays {
 public:
  Arrays(size_t rank_count, bool with_outputs, size_t bytes, DataType type) : bytes_(bytes) {
    const size_t count = bytes / size_of(type);
    for (size_t k = 0; k < rank_count; ++k) {
      std::byte* const source = take();
      const std::vector<float> values(count, static_cast<float>(k + 1));
      void* const output[] = {source};
      kernels::emit(type, values.data(), output, count, Stores::ordinary);
      sources_.push_back(source);
      if (with_outputs) outputs_.push_back(take());
    }
  }

  // The pointers of all ranks' bytes from `first` on; valid until the next call.
  std::span<const void* const> sources(size_t first) {
    for (size_t k = 0; k < sources_.size(); ++k) source_pointers_[k] = sources_[k] + first;
    return {source_pointers_.data(), sources_.size()};
  }
  std::span<void* const> outputs(size_t first) {
    for (size_t k = 0; k < outputs_.size(); ++k) output_pointers_[k] = outputs_[k] + first;
    return {output_pointers_.data(), outputs_.size()};
  }
  std::vector<const float*> source_floats() const {
    std::vector<const float*> floats;
    for (const std::byte* p : sources_) floats.push_back(reinterpret_cast<const float*>(p));
    return floats;
  }
  std::vector<float*> output_floats() const {
    std::vector<float*> floats;
    for (std::byte* p : outputs_) floats.push_back(reinterpret_cast<float*>(p));
    return floats;
  }

 private:
  std::byte* take() {
    Result<base::Mapping> mapping = base::Mapping::anonymous(bytes_);
    PHUB_CHECK(mapping.ok());
    mappings_.push_back(std::move(mapping).value());
    return mappings_.back().data();
  }

  size_t bytes_;
  std::vector<base::Mapping> mappings_;
  std::vector<std::byte*> sources_, outputs_;
  std::array<const void*, kFoldSourcesMax> source_pointers_{};
  std::array<void*, kFoldSourcesMax> output_pointers_{};
};

float sum_to(size_t n) { return static_cast<float>(n * (n + 1) / 2); }

void check_all(benchmark::State& state, std::span<const float> values, float want) {
  for (const float value : values) {
    if (value == want) continue;
    any_wrong = true;
    state.SkipWithError("wrong result");
    return;
  }
}

size_t ranks_of(const benchmark::State& state) { return static_cast<size_t>(state.range(0)); }
size_t bytes_of(const benchmark::State& state) { return static_cast<size_t>(state.range(1)); }

void report(benchmark::State& state, size_t bytes) {
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
  state.SetLabel(kernels::isa_name());
}

// One source after the other.
void roof_load_each(benchmark::State& state) {
  Arrays arrays(ranks_of(state), false, bytes_of(state), DataType::fp32);
  const std::vector<const float*> sources = arrays.source_floats();
  for (auto _ : state) {
    for (const float* source : sources) {
      benchmark::DoNotOptimize(load_only({source, bytes_of(state) / 4}));
    }
  }
  report(state, ranks_of(state) * bytes_of(state));
}

// All sources side by side, as fold() reads them.
void roof_load_together(benchmark::State& state) {
  Arrays arrays(ranks_of(state), false, bytes_of(state), DataType::fp32);
  const std::vector<const float*> sources = arrays.source_floats();
  for (auto _ : state) benchmark::DoNotOptimize(load_only(sources, bytes_of(state) / 4));
  report(state, ranks_of(state) * bytes_of(state));
}

void fold_sum(benchmark::State& state, DataType type) {
  Arrays arrays(ranks_of(state), false, bytes_of(state), type);
  const size_t count = kChunkBytes / size_of(type);
  std::vector<float> sums(count);
  for (auto _ : state) {
    for (size_t first = 0; first < bytes_of(state); first += kChunkBytes) {
      kernels::fold(type, ReduceOp::sum, arrays.sources(first), false, sums.data(), count);
    }
  }
  check_all(state, sums, sum_to(ranks_of(state)));
  report(state, ranks_of(state) * bytes_of(state));
}

// The hub's shape: N sources are summed and every sum goes to N outputs around the cache.
void roof_exchange(benchmark::State& state) {
  Arrays arrays(ranks_of(state), true, bytes_of(state), DataType::fp32);
  const std::vector<const float*> sources = arrays.source_floats();
  const std::vector<float*> outputs = arrays.output_floats();
  for (auto _ : state) exchange(sources, outputs, bytes_of(state) / 4);
  report(state, 2 * ranks_of(state) * bytes_of(state));
}

void finish_sum(benchmark::State& state, Stores stores) {
  Arrays arrays(ranks_of(state), true, bytes_of(state), DataType::fp32);
  for (auto _ : state) {
    for (size_t first = 0; first < bytes_of(state); first += kChunkBytes) {
      FinishInput input;
      input.sources = arrays.sources(first);
      input.outputs = arrays.outputs(first);
      input.count = kChunkBytes / 4;
      input.stores = stores;
      kernels::finish(input);
    }
  }
  for (const float* output : arrays.output_floats()) {
    check_all(state, {output, bytes_of(state) / 4}, sum_to(ranks_of(state)));
  }
  report(state, 2 * ranks_of(state) * bytes_of(state));
}

// One chunk's last pass with an optimizer, all in the cache: what the step itself costs. Bytes are
// those of the gradients.
void finish_step(benchmark::State& state, OptimizerKind kind) {
  Arrays arrays(ranks_of(state), true, kCacheBytes, DataType::fp32);
  constexpr size_t kCount = kCacheBytes / 4;
  std::vector<float> weights(kCount), first(kCount), second(kCount);
  FinishInput input;
  input.sources = arrays.sources(0);
  input.outputs = arrays.outputs(0);
  input.count = kCount;
  input.step.options.kind = kind;
  input.step.options.learning_rate = 1e-9f;
  input.state = {weights.data(), first.data(), second.data()};
  input.stores = Stores::ordinary;
  for (auto _ : state) {
    kernels::finish(input);
    ++input.step.step;
  }
  for (const float* output : arrays.output_floats()) {
    check_all(state, {output, kCount}, weights[0]);  // Equal gradients give equal weights.
  }
  if (weights[0] >= 0) check_all(state, weights, -1);  // And these fell.
  report(state, ranks_of(state) * kCacheBytes);
}

void sum_of_squares(benchmark::State& state) {
  const std::vector<float> values(kChunkBytes / 4, 2.0f);
  double sum = 0;
  for (auto _ : state) {
    sum = kernels::sum_of_squares(values.data(), 1.0f, values.size());
    benchmark::DoNotOptimize(sum);
  }
  const float got = static_cast<float>(sum);
  check_all(state, {&got, 1}, 4.0f * static_cast<float>(values.size()));
  report(state, kChunkBytes);
}

void places(benchmark::internal::Benchmark* b) {
  b->Args({8, kCacheBytes})->Args({8, kMemoryBytes})->Args({2, kMemoryBytes});
}
void hub_shapes(benchmark::internal::Benchmark* b) {
  b->Args({2, kMemoryBytes})->Args({4, kMemoryBytes});
}
void in_cache(benchmark::internal::Benchmark* b) { b->Args({4, kCacheBytes}); }

BENCHMARK(roof_load_each)->Apply(places);
BENCHMARK(roof_load_together)->Apply(places);
BENCHMARK_CAPTURE(fold_sum, fp32, DataType::fp32)->Apply(places);
BENCHMARK_CAPTURE(fold_sum, fp16, DataType::fp16)->Apply(places);
BENCHMARK_CAPTURE(fold_sum, bf16, DataType::bf16)->Apply(places);
BENCHMARK(roof_exchange)->Apply(hub_shapes);
BENCHMARK_CAPTURE(finish_sum, non_temporal, Stores::non_temporal)->Apply(hub_shapes);
BENCHMARK_CAPTURE(finish_sum, ordinary, Stores::ordinary)->Apply(hub_shapes);
BENCHMARK_CAPTURE(finish_step, sgd, OptimizerKind::sgd)->Apply(in_cache);
BENCHMARK_CAPTURE(finish_step, momentum, OptimizerKind::momentum)->Apply(in_cache);
BENCHMARK_CAPTURE(finish_step, adamw, OptimizerKind::adamw)->Apply(in_cache);
BENCHMARK(sum_of_squares);

}  // namespace
}  // namespace phub::perf

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  if (phub::perf::any_wrong) std::fprintf(stderr, "kernels_bench: a result was wrong\n");
  return phub::perf::any_wrong ? 1 : 0;
}
