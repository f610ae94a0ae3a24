#include "perf/roof.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "base/clock.h"
#include "base/thread.h"
#include "base/try.h"
#include "perf/roof_loops.h"

namespace phub::perf {
namespace {

constexpr uint64_t kRoofChunk = 8192;  // Floats.

double seconds_since(base::Instant start) {
  return static_cast<double>((base::now() - start).count()) / 1e9;
}

// One thread's share of a try: runs `work` until the time is up, at least once; seconds per run.
double time_runs(double seconds_min, const std::function<void()>& work) {
  const base::Instant start = base::now();
  for (uint64_t runs = 1;; ++runs) {
    work();
    const double taken = seconds_since(start);
    if (taken >= seconds_min) return taken / static_cast<double>(runs);
  }
}

}  // namespace

double time_threads(uint32_t thread_count, double seconds_min, uint32_t tries,
                    const std::function<void(uint32_t thread)>& work) {
  const std::vector<int> cores = base::allowed_cores();
  double best = std::numeric_limits<double>::infinity();
  for (uint32_t attempt = 0; attempt < tries; ++attempt) {
    std::vector<double> taken(thread_count);
    std::atomic<uint32_t> ready{0};
    std::vector<base::Thread> threads;
    for (uint32_t t = 0; t < thread_count; ++t) {
      const int core = thread_count <= cores.size() ? cores[t] : -1;
      threads.emplace_back("roof", core, [&, t] {
        work(t);  // Warm: caches, pages, clock.
        ready.fetch_add(1);
        while (ready.load() < thread_count) std::this_thread::yield();
        taken[t] = time_runs(seconds_min, [&] { work(t); });
      });
    }
    for (base::Thread& thread : threads) thread.join();
    best = std::min(best, *std::max_element(taken.begin(), taken.end()));
  }
  return best;
}

Result<HubRoof> HubRoof::create(uint64_t bytes, uint32_t ranks, uint32_t thread_count) {
  HubRoof roof;
  const uint64_t used = std::min(base::align_up(bytes, 64), kRoofBytesMax);
  roof.scale_ = std::max(1.0, static_cast<double>(bytes) / static_cast<double>(used));
  roof.floats_ = used / sizeof(float);
  roof.thread_count_ = thread_count;
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    PHUB_TRY_ASSIGN(base::Mapping source, base::Mapping::anonymous(used));
    PHUB_TRY_ASSIGN(base::Mapping target, base::Mapping::anonymous(used));
    roof.sources_.push_back(std::move(source));
    roof.targets_.push_back(std::move(target));
  }
  return roof;
}

double HubRoof::measure_us() {
  size_t block = 0;
  const auto work = [this, &block](uint32_t thread) {
    std::vector<const float*> sources(sources_.size());
    std::vector<float*> targets(targets_.size());
    const uint64_t stride = kRoofChunk * thread_count_;
    for (uint64_t first = thread * kRoofChunk; first < floats_; first += stride) {
      for (size_t r = 0; r < sources_.size(); ++r) {
        sources[r] = reinterpret_cast<const float*>(sources_[r].data()) + first;
        targets[r] = reinterpret_cast<float*>(targets_[r].data()) + first;
      }
      exchange(sources, targets, std::min(kRoofChunk, floats_ - first), block);
    }
  };
  double best = std::numeric_limits<double>::infinity();
  for (const size_t candidate : kExchangeBlocks) {
    block = candidate;
    best = std::min(best, time_threads(thread_count_, 0.02, 2, work));
  }
  return best * scale_ * 1e6;
}

}  // namespace phub::perf
