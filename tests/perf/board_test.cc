// Goal: ranks in separate processes meet at the board, and none waits for one that has failed.
// Method: real child processes (fork) and threads on one board.
#include "perf/board.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <thread>

#include "perf/rank_loop.h"

namespace phub::perf {
namespace {

using namespace std::chrono_literals;

TEST(BoardTest, ProcessesRunTheirRoundsTogetherAndTheSlowestCounts) {
  Result<Board> board = Board::create(3, 4);
  ASSERT_TRUE(board.ok()) << board.status().message();
  std::vector<pid_t> children;
  for (uint32_t rank = 0; rank < 3; ++rank) {
    const pid_t child = fork();
    if (child == 0) {
      Result<Board> mine = Board::open(board->path());
      if (!mine.ok()) _exit(1);
      for (uint32_t round = 0; round < 4; ++round) {
        if (!mine->barrier(20s).ok()) _exit(2);
        mine->record(rank, round, 1000 * (rank + 1) * (round + 1));
        mine->add_wrong(rank);
      }
      _exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(board->round_times_us(), (std::vector<double>{3, 6, 9, 12}));
  EXPECT_EQ(board->wrong(), 12u);
}

TEST(BoardTest, AFailureReleasesWhoeverWaits) {
  Result<Board> board = Board::create(2, 1);
  ASSERT_TRUE(board.ok());
  Status barrier, pause;
  std::thread waiter([&] { barrier = board->barrier(20s); });
  std::thread sleeper([&] { pause = board->pause(1); });
  board->fail();
  waiter.join();
  sleeper.join();
  EXPECT_EQ(barrier.code(), Code::aborted);
  EXPECT_EQ(pause.code(), Code::aborted);
}

TEST(BoardTest, AMissingRankEndsTheBarrierAtItsDeadline) {
  Result<Board> board = Board::create(2, 1);
  ASSERT_TRUE(board.ok());
  EXPECT_EQ(board->barrier(10ms).code(), Code::timed_out);
}

TEST(BoardTest, AFileThatIsNoBoardIsRefused) {
  for (const size_t length : {0, 10, 100'000}) {
    const std::string path = testing::TempDir() + "no_board";
    std::ofstream(path) << std::string(length, 'x');
    EXPECT_EQ(Board::open(path).status().code(), Code::invalid_argument);
    std::remove(path.c_str());
  }
  EXPECT_EQ(Board::open("/nowhere").status().code(), Code::not_found);
}

TEST(RankLoopTest, WarmUpRoundsAreVerifiedButNotRecorded) {
  Result<Board> board = Board::create(1, 2);
  ASSERT_TRUE(board.ok());
  std::vector<uint32_t> prepared;
  RankHooks hooks;
  hooks.prepare = [&](uint32_t round) { prepared.push_back(round); };
  hooks.exchange = [](uint32_t) { return Status(); };
  hooks.count_wrong = [](uint32_t round) { return round == 1 ? 5 : 0; };
  ASSERT_TRUE(run_rounds(*board, {.rank = 0, .warmup = 3}, hooks).ok());
  EXPECT_EQ(prepared, (std::vector<uint32_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(board->wrong(), 5u);
}

TEST(RankLoopTest, TheParentLooksAroundAtTheStops) {
  Result<Board> board = Board::create(1, 1);
  ASSERT_TRUE(board.ok());
  const RankHooks hooks{[](uint32_t) {}, [](uint32_t) { return Status(); },
                        [](uint32_t) { return uint64_t{0}; }};
  Status status(Code::internal, "not run");
  std::thread rank(
      [&] { status = run_rounds(*board, {.rank = 0, .warmup = 1, .is_paused = true}, hooks); });
  for (const uint32_t stop : {1u, 2u}) {
    while (!board->reached(stop)) std::this_thread::yield();
    board->resume(stop);
  }
  rank.join();
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST(RankLoopTest, AFailedExchangeEndsTheLoop) {
  Result<Board> board = Board::create(1, 3);
  ASSERT_TRUE(board.ok());
  RankHooks hooks{
      [](uint32_t) {},
      [](uint32_t round) { return round == 2 ? Status(Code::aborted, "rank 1 died") : Status(); },
      [](uint32_t) { return uint64_t{0}; }};
  EXPECT_EQ(run_rounds(*board, {}, hooks).message(), "rank 1 died");
}

}  // namespace
}  // namespace phub::perf
