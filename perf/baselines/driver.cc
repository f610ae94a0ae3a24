#include "perf/baselines/driver.h"

#include <thread>

#include "base/try.h"
#include "perf/arguments.h"
#include "perf/board.h"
#include "perf/pattern.h"
#include "perf/rank_loop.h"

namespace phub::perf {
namespace {

constexpr Flag kFlags[] = {
    {"board", "file of phub-perf's board", ""},
    {"bytes", "of each rank's gradient", "4096"},
    {"dtype", "element type", "fp32"},
    {"op", "reduction", "sum"},
    {"warmup", "rounds before the timed", "0"},
    {"compute-us", "slept before each round", "0"},
    {"algorithm", "of Gloo", "ring_chunked"},
    {"store", "folder to meet in", ""},
    {"rank", "this rank", "0"},
};

template <typename E>
Result<E> enum_of(const std::string& text, E last) {
  for (uint8_t i = 0; i <= static_cast<uint8_t>(last); ++i) {
    if (to_string(static_cast<E>(i)) == text) return static_cast<E>(i);
  }
  return Status(Code::invalid_argument, text + " is not known");
}

}  // namespace

Result<DriverOptions> parse_driver_options(int argc, char** argv) {
  const std::span<const char* const> words(argv + 1, static_cast<size_t>(argc) - 1);
  PHUB_TRY_ASSIGN(const Arguments arguments, Arguments::parse(words, kFlags));
  DriverOptions options;
  options.board = arguments.text("board");
  PHUB_TRY_ASSIGN(options.bytes, arguments.number("bytes", 1, uint64_t{1} << 40));
  PHUB_TRY_ASSIGN(options.type, enum_of(arguments.text("dtype"), DataType::int64));
  PHUB_TRY_ASSIGN(options.op, enum_of(arguments.text("op"), ReduceOp::product));
  PHUB_TRY_ASSIGN(const uint64_t warmup, arguments.number("warmup", 0, 1'000'000));
  PHUB_TRY_ASSIGN(const uint64_t compute_us, arguments.number("compute-us", 0, 1'000'000'000));
  PHUB_TRY_ASSIGN(const uint64_t rank, arguments.number("rank", 0, kRankCountMax - 1));
  options.warmup = static_cast<uint32_t>(warmup);
  options.compute_us = static_cast<uint32_t>(compute_us);
  options.rank = static_cast<uint32_t>(rank);
  options.algorithm = arguments.text("algorithm");
  options.store = arguments.text("store");
  return options;
}

Result<uint32_t> rank_count_of(const DriverOptions& options) {
  PHUB_TRY_ASSIGN(const Board board, Board::open(options.board));
  return board.rank_count();
}

Status drive(const DriverOptions& options, uint32_t rank, uint32_t rank_count,
             std::span<std::byte> gradient, std::span<std::byte> result,
             const std::function<Status()>& all_reduce) {
  PHUB_TRY_ASSIGN(Board board, Board::open(options.board));
  if (board.rank_count() != rank_count) {
    return Status(Code::invalid_argument, "the board has " + std::to_string(board.rank_count()) +
                                              " ranks, this run " + std::to_string(rank_count));
  }
  const Pattern pattern{options.type, options.op, rank_count};
  Verifier verifier(pattern, {}, {});
  RankHooks hooks;
  hooks.prepare = [&](uint32_t round) {
    poison(options.type, result);
    fill(pattern, {rank, 0, round}, gradient);
  };
  hooks.exchange = [&](uint32_t) {
    if (options.compute_us > 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(options.compute_us));
    }
    return all_reduce();
  };
  hooks.count_wrong = [&](uint32_t round) { return verifier.count_wrong(0, round, result); };
  RankOptions loop;
  loop.rank = rank;
  loop.warmup = options.warmup;
  return run_rounds(board, loop, hooks);
}

}  // namespace phub::perf
