// One rank of `phub-perf exchange`: a trainer without the training.
#include <phub/worker.h>

#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/try.h"
#include "perf/board.h"
#include "perf/case.h"
#include "perf/commands.h"
#include "perf/medium.h"
#include "perf/pattern.h"
#include "perf/rank_loop.h"

namespace phub::perf {
namespace {

// The ranks start one after the other, and big tensors take a while to touch.
constexpr std::chrono::minutes kPatience{2};

class Rank {
 public:
  Rank(const Case& one, uint32_t rank) : case_(one), rank_(rank) {}

  Status connect(const std::string& hub, const std::string& tls_ca, const std::string& folder) {
    WorkerOptions options;
    options.network = worker_medium(case_, folder, rank_);
    options.hub = hub;
    options.tls_ca = tls_ca;
    options.job.name = "perf";
    options.job.rank_count = case_.workers;
    options.job.chunk_elements = case_.chunk_elements();
    options.rank = phub::Rank{static_cast<uint16_t>(rank_)};
    options.join_timeout = kPatience;
    options.wait_timeout = kPatience;
    PHUB_TRY_ASSIGN(Worker worker, Worker::connect(options));
    worker_ = std::make_unique<Worker>(std::move(worker));
    return Status();
  }

  // Registered memory for every gradient and every result, each 64-byte aligned in one block.
  Status register_tensors() {
    const size_t element_bytes = size_of(case_.type);
    size_t total = 0;
    std::vector<uint64_t> counts;
    for (const ModelTensor& tensor : case_.model.tensors) {
      total += base::align_up(tensor.count * element_bytes, base::kCacheLineBytes);
      counts.push_back(tensor.count);
    }
    PHUB_TRY_ASSIGN(const std::span<std::byte> gradients, worker_->allocate(total));
    PHUB_TRY_ASSIGN(const std::span<std::byte> results, worker_->allocate(total));
    std::vector<void*> targets;
    size_t offset = 0;
    for (const uint64_t count : counts) {
      gradients_.push_back(gradients.subspan(offset, count * element_bytes));
      results_.push_back(results.subspan(offset, count * element_bytes));
      targets.push_back(results_.back().data());
      offset += base::align_up(count * element_bytes, base::kCacheLineBytes);
    }
    PHUB_TRY_ASSIGN(tensors_, worker_->register_tensors(tensor_specs(case_), targets));
    pattern_ = {case_.type, case_.op, case_.workers};
    verifier_ = std::make_unique<Verifier>(pattern_, case_.optimizer, counts);
    return case_.optimizer.kind == OptimizerKind::none ? Status() : set_weights();
  }

  void prepare(uint32_t round) {
    for (uint32_t t = 0; t < tensors_.size(); ++t) {
      fill(pattern_, {rank_, t, round}, gradients_[t]);
      poison(case_.type, results_[t]);
    }
  }

  Status exchange() {
    if (case_.compute_us_total() > 0) return exchange_computing();
    for (size_t t = 0; t < tensors_.size(); ++t) {
      PHUB_TRY(worker_->push_pull(tensors_[t], gradients_[t].data(), results_[t].data()).status());
    }
    return worker_->wait_all();
  }

  uint64_t count_wrong(uint32_t round) {
    uint64_t wrong = 0;
    for (uint32_t t = 0; t < tensors_.size(); ++t) {
      wrong += verifier_->count_wrong(t, round, results_[t]);
    }
    return wrong;
  }

  Status leave() { return worker_->leave(); }

 private:
  // What the verifier takes as the weights at the start.
  Status set_weights() {
    const Pattern initial{case_.type, case_.op, 1};
    for (uint32_t t = 0; t < tensors_.size(); ++t) {
      fill(initial, {0, t, 0}, results_[t]);
      PHUB_TRY(worker_->broadcast(tensors_[t], results_[t].data(), phub::Rank{0}).status());
    }
    return worker_->wait_all();
  }

  // As a backward pass does: the last tensor's gradient is there first, and travels while the next
  // is computed.
  Status exchange_computing() {
    base::Instant due = base::now();
    for (size_t t = tensors_.size(); t-- > 0;) {
      due = due + std::chrono::microseconds(case_.compute_us[t]);
      worker_->poll();
      const std::chrono::nanoseconds left = due - base::now();
      if (left.count() > 0) std::this_thread::sleep_for(left);
      PHUB_TRY(worker_->push_pull(tensors_[t], gradients_[t].data(), results_[t].data()).status());
    }
    return worker_->wait_all();
  }

  const Case& case_;
  uint32_t rank_;
  std::unique_ptr<Worker> worker_;
  Pattern pattern_;
  std::unique_ptr<Verifier> verifier_;
  std::vector<TensorId> tensors_;
  std::vector<std::span<std::byte>> gradients_, results_;
};

std::vector<Flag> worker_flags() {
  std::vector<Flag> flags = case_flags();
  flags.push_back({"hub", "where the hub listens", ""});
  flags.push_back({"tls-ca", "who signed its certificate, for tls://", ""});
  flags.push_back({"folder", "of sockets between hub and workers", ""});
  flags.push_back({"board", "file of the board", ""});
  flags.push_back({"rank", "this rank", "0"});
  flags.push_back({"warmup", "rounds before those that count", "0"});
  return flags;
}

Status run(const Arguments& arguments) {
  PHUB_TRY_ASSIGN(const std::vector<Case> cases, parse_cases(arguments));
  PHUB_TRY_ASSIGN(const uint64_t number, arguments.number("rank", 0, kRankCountMax - 1));
  PHUB_TRY_ASSIGN(const uint64_t warmup, arguments.number("warmup", 0, 1'000'000));
  PHUB_TRY_ASSIGN(Board board, Board::open(arguments.text("board")));
  Rank rank(cases.front(), static_cast<uint32_t>(number));
  PHUB_TRY(rank.connect(arguments.text("hub"), arguments.text("tls-ca"), arguments.text("folder")));
  PHUB_TRY(rank.register_tensors());
  RankOptions options;
  options.rank = static_cast<uint32_t>(number);
  options.warmup = static_cast<uint32_t>(warmup);
  options.is_paused = true;
  PHUB_TRY(run_rounds(
      board, options,
      {[&](uint32_t round) { rank.prepare(round); }, [&](uint32_t) { return rank.exchange(); },
       [&](uint32_t round) { return rank.count_wrong(round); }}));
  return rank.leave();
}

}  // namespace

int run_worker(Words words) {
  const std::vector<Flag> flags = worker_flags();
  const Result<Arguments> arguments = Arguments::parse(words, flags);
  const Status status = arguments.ok() ? run(*arguments) : arguments.status();
  return status.ok() ? 0 : fail(status);
}

}  // namespace phub::perf
