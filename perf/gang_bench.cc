// One owner per chunk against a gang of cores per tensor.
//
// Parameter Hub's "tall" aggregation gives every chunk one owner core, which sums all ranks' copies
// and writes the results; nothing is shared and nobody waits. The "wide" way splits every tensor
// over all cores, which meet at a barrier behind each tensor. Both move the same bytes with the
// same loop, so the difference is coordination and locality. A measurement only: the hub has no
// such mode.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>

#include "base/clock.h"
#include "base/memory.h"
#include "base/thread.h"
#include "base/try.h"
#include "perf/arguments.h"
#include "perf/commands.h"
#include "perf/model.h"
#include "perf/roof_loops.h"
#include "perf/statistics.h"

namespace phub::perf {
namespace {

constexpr uint64_t kChunk = 8192;  // Floats.

constexpr Flag kFlags[] = {
    {"model", "a table of perf/models", "resnet50"},
    {"ranks", "copies of the model to sum", "4"},
    {"threads", "cores", "2"},
    {"rounds", "exchanges of the whole model, each way; the median counts", "11"},
};

// All threads meet; the last one lets the others go. Spins, as a gang on dedicated cores would.
class Meeting {
 public:
  explicit Meeting(uint32_t count) : count_(count) {}
  void wait() {
    const uint32_t generation = generation_.load();
    if (arrived_.fetch_add(1) + 1 == count_) {
      arrived_.store(0);
      generation_.store(generation + 1);
      return;
    }
    while (generation_.load() == generation) std::this_thread::yield();
  }

 private:
  const uint32_t count_;
  std::atomic<uint32_t> arrived_{0};
  std::atomic<uint32_t> generation_{0};
};

class Bench {
 public:
  static Result<Bench> create(const Model& model, uint32_t ranks, uint32_t threads) {
    Bench bench;
    bench.threads_ = threads;
    for (const ModelTensor& tensor : model.tensors) {
      bench.tensors_.push_back({bench.floats_, tensor.count});
      bench.floats_ += base::align_up(tensor.count, 16);
    }
    for (uint32_t rank = 0; rank < ranks; ++rank) {
      PHUB_TRY_ASSIGN(base::Mapping source, base::Mapping::anonymous(bench.floats_ * 4));
      PHUB_TRY_ASSIGN(base::Mapping target, base::Mapping::anonymous(bench.floats_ * 4));
      bench.sources_.push_back(std::move(source));
      bench.targets_.push_back(std::move(target));
    }
    return bench;
  }

  // Microseconds of one exchange of the whole model.
  double run(bool is_gang) {
    const std::vector<int> cores = base::allowed_cores();
    Meeting meeting(threads_);
    base::Instant start;
    {
      std::vector<base::Thread> gang;
      for (uint32_t t = 0; t < threads_; ++t) {
        gang.emplace_back("gang", threads_ <= cores.size() ? cores[t] : -1, [&, t] {
          meeting.wait();
          if (t == 0) start = base::now();
          meeting.wait();
          is_gang ? share_tensors(t, meeting) : own_chunks(t);
        });
      }
    }
    return static_cast<double>((base::now() - start).count()) / 1e3;
  }

 private:
  struct Range {
    uint64_t first = 0;
    uint64_t count = 0;
  };

  void own_chunks(uint32_t thread) {
    uint64_t number = 0;
    for (const Range& tensor : tensors_) {
      for (uint64_t at = 0; at < tensor.count; at += kChunk) {
        if (number++ % threads_ == thread) {
          move(tensor.first + at, std::min(kChunk, tensor.count - at));
        }
      }
    }
  }

  void share_tensors(uint32_t thread, Meeting& meeting) {
    for (const Range& tensor : tensors_) {
      const uint64_t share = base::align_up((tensor.count + threads_ - 1) / threads_, 16);
      const uint64_t begin = std::min(tensor.count, share * thread);
      const uint64_t end = std::min(tensor.count, begin + share);
      if (begin < end) move(tensor.first + begin, end - begin);
      meeting.wait();  // The tensor is done when all have done their part.
    }
  }

  void move(uint64_t first, uint64_t count) {
    const float* sources[64];
    float* targets[64];
    for (size_t r = 0; r < sources_.size(); ++r) {
      sources[r] = reinterpret_cast<const float*>(sources_[r].data()) + first;
      targets[r] = reinterpret_cast<float*>(targets_[r].data()) + first;
    }
    exchange(std::span<const float* const>(sources, sources_.size()),
             std::span<float* const>(targets, targets_.size()), count, 1024);
  }

  uint32_t threads_ = 1;
  uint64_t floats_ = 0;
  std::vector<Range> tensors_;
  std::vector<base::Mapping> sources_, targets_;
};

Status measure(const Arguments& arguments) {
  PHUB_TRY_ASSIGN(const Model model, load_model(arguments.text("model")));
  PHUB_TRY_ASSIGN(const uint64_t ranks, arguments.number("ranks", 1, 64));
  PHUB_TRY_ASSIGN(const uint64_t threads, arguments.number("threads", 1, 1024));
  PHUB_TRY_ASSIGN(const uint64_t rounds, arguments.number("rounds", 1, 10'000));
  PHUB_TRY_ASSIGN(Bench bench, Bench::create(model, static_cast<uint32_t>(ranks),
                                             static_cast<uint32_t>(threads)));
  std::vector<double> owner, gang;
  for (uint64_t round = 0; round < rounds; ++round) {
    owner.push_back(bench.run(false));
    gang.push_back(bench.run(true));
  }
  std::printf("# %s, %zu tensors, %llu ranks, %llu threads, median of %llu\n", model.name.c_str(),
              model.tensors.size(), static_cast<unsigned long long>(ranks),
              static_cast<unsigned long long>(threads), static_cast<unsigned long long>(rounds));
  std::printf("one owner per chunk   %12.1f us\n", median(owner));
  std::printf("gang per tensor       %12.1f us  %.2f x\n", median(gang),
              median(gang) / median(owner));
  return Status();
}

}  // namespace

int fail(const Status& status) {
  std::fprintf(stderr, "gang_bench: %s\n", status.message().c_str());
  return status.code() == Code::invalid_argument ? 2 : 1;
}

}  // namespace phub::perf

int main(int argc, char** argv) {
  using namespace phub::perf;
  const auto arguments = Arguments::parse(
      Words(const_cast<const char* const*>(argv) + 1, static_cast<size_t>(argc) - 1), kFlags);
  if (!arguments.ok()) return fail(arguments.status());
  const phub::Status status = measure(*arguments);
  return status.ok() ? 0 : fail(status);
}
