// Written once, compiled for every instruction set, the best one chosen at run time (Highway).
#include "perf/roof_loops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "perf/roof_loops.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>  // NOLINT: must come first.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace phub::perf::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Four independent accumulators: the loop waits for memory, never for the adder.
template <class Tag>
class Gatherer {
 public:
  explicit Gatherer(Tag tag) : tag_(tag), a_(hn::Zero(tag)), b_(a_), c_(a_), d_(a_) {}
  HWY_INLINE void load(const float* source) {
    const size_t lanes = hn::Lanes(tag_);
    a_ = hn::Add(a_, hn::Load(tag_, source));
    b_ = hn::Add(b_, hn::Load(tag_, source + lanes));
    c_ = hn::Add(c_, hn::Load(tag_, source + 2 * lanes));
    d_ = hn::Add(d_, hn::Load(tag_, source + 3 * lanes));
  }
  uint64_t result() const {
    const auto sum = hn::Add(hn::Add(a_, b_), hn::Add(c_, d_));
    return static_cast<uint64_t>(static_cast<int64_t>(hn::GetLane(hn::SumOfLanes(tag_, sum))));
  }

 private:
  Tag tag_;
  hn::Vec<Tag> a_, b_, c_, d_;
};

uint64_t load_many(const float* const* sources, size_t source_count, size_t count) {
  const hn::ScalableTag<float> tag;
  const size_t step = 4 * hn::Lanes(tag);
  Gatherer<decltype(tag)> gatherer(tag);
  for (size_t i = 0; i + step <= count; i += step) {
    for (size_t s = 0; s < source_count; ++s) gatherer.load(sources[s] + i);
  }
  return gatherer.result();
}

void copy_plain(const float* source, float* target, size_t count) {
  const hn::ScalableTag<float> tag;
  const size_t lanes = hn::Lanes(tag);
  for (size_t i = 0; i + lanes <= count; i += lanes) {
    hn::Store(hn::Load(tag, source + i), tag, target + i);
  }
}

void copy_around(const float* source, float* target, size_t count) {
  const hn::ScalableTag<float> tag;
  const size_t lanes = hn::Lanes(tag);
  for (size_t i = 0; i + lanes <= count; i += lanes) {
    hn::Stream(hn::Load(tag, source + i), tag, target + i);
  }
  hwy::FlushStream();
}

void add_to(const float* source, float* target, size_t count) {
  const hn::ScalableTag<float> tag;
  const size_t lanes = hn::Lanes(tag);
  for (size_t i = 0; i + lanes <= count; i += lanes) {
    hn::Store(hn::Add(hn::Load(tag, target + i), hn::Load(tag, source + i)), tag, target + i);
  }
}

// Sums wait in the L1 cache until every target has got them, so each target is written in runs of
// whole lines. Four sums at a time: enough loads in flight from each source.
void exchange_blocks(const float* const* sources, size_t source_count, float* const* targets,
                     size_t target_count, size_t count, size_t block) {
  alignas(64) float sums[4096];
  const hn::ScalableTag<float> tag;
  const size_t lanes = hn::Lanes(tag);
  for (size_t first = 0; first < count; first += block) {
    const size_t length = count - first < block ? count - first : block;
    size_t i = 0;
    for (; i + 4 * lanes <= length; i += 4 * lanes) {
      const float* source = sources[0] + first + i;
      auto a = hn::Load(tag, source);
      auto b = hn::Load(tag, source + lanes);
      auto c = hn::Load(tag, source + 2 * lanes);
      auto d = hn::Load(tag, source + 3 * lanes);
      for (size_t s = 1; s < source_count; ++s) {
        source = sources[s] + first + i;
        a = hn::Add(a, hn::Load(tag, source));
        b = hn::Add(b, hn::Load(tag, source + lanes));
        c = hn::Add(c, hn::Load(tag, source + 2 * lanes));
        d = hn::Add(d, hn::Load(tag, source + 3 * lanes));
      }
      hn::Store(a, tag, sums + i);
      hn::Store(b, tag, sums + i + lanes);
      hn::Store(c, tag, sums + i + 2 * lanes);
      hn::Store(d, tag, sums + i + 3 * lanes);
    }
    for (; i + lanes <= length; i += lanes) {
      auto sum = hn::Load(tag, sources[0] + first + i);
      for (size_t s = 1; s < source_count; ++s) {
        sum = hn::Add(sum, hn::Load(tag, sources[s] + first + i));
      }
      hn::Store(sum, tag, sums + i);
    }
    for (size_t t = 0; t < target_count; ++t) {
      for (i = 0; i + lanes <= length; i += lanes) {
        hn::Stream(hn::Load(tag, sums + i), tag, targets[t] + first + i);
      }
    }
  }
  hwy::FlushStream();
}

}  // namespace phub::perf::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace phub::perf {

HWY_EXPORT(load_many);
HWY_EXPORT(copy_plain);
HWY_EXPORT(copy_around);
HWY_EXPORT(add_to);
HWY_EXPORT(exchange_blocks);

uint64_t load_only(std::span<const float> source) {
  const float* const one = source.data();
  return HWY_DYNAMIC_DISPATCH(load_many)(&one, 1, source.size());
}
uint64_t load_only(std::span<const float* const> sources, size_t count) {
  return HWY_DYNAMIC_DISPATCH(load_many)(sources.data(), sources.size(), count);
}
void copy(std::span<const float> source, float* target) {
  HWY_DYNAMIC_DISPATCH(copy_plain)(source.data(), target, source.size());
}
void copy_streaming(std::span<const float> source, float* target) {
  HWY_DYNAMIC_DISPATCH(copy_around)(source.data(), target, source.size());
}
void add(std::span<const float> source, float* target) {
  HWY_DYNAMIC_DISPATCH(add_to)(source.data(), target, source.size());
}
void exchange(std::span<const float* const> sources, std::span<float* const> targets, size_t count,
              size_t block_floats) {
  HWY_DYNAMIC_DISPATCH(exchange_blocks)
  (sources.data(), sources.size(), targets.data(), targets.size(), count, block_floats);
}

}  // namespace phub::perf
#endif
