// Goal: a sleeper is always woken when what it waits for is there, and not before, and not often.
// Method: thresholds in one thread; then two processes and two threads that sleep after every
// message, so that each message races with a falling asleep. A lost wake-up is a missed 10 s
// deadline.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/random.h"
#include "base/thread.h"
#include "tests/transport/shm_support.h"

namespace phub::transport {
namespace {

// Sleeps until the fabric has something. False: not within 10 s.
bool sleep_on(Fabric& fabric, uint64_t* sleeps) {
  bool is_woken = true;
  if (fabric.arm()) {
    ++*sleeps;
    is_woken = await_readable(fabric.fd());
  }
  fabric.disarm();
  return is_woken;
}

// Replies to every push in the same slot, until `count` were served or the other side is silent.
bool serve(const ShmPair& pair, uint64_t count, uint64_t* sleeps) {
  base::Random random(1);
  while (count > 0) {
    for (const Event& event : poll_once(*pair.hub)) {
      if (event.kind != EventKind::arrived) return false;
      pair.hub->release(event);
      const Put reply = pair.reply(event.tag % 8, event.tag);
      if (pair.hub->put({&reply, 1}) != 1) return false;
      --count;
    }
    if (count > 0 && random.chance(0.7) && !sleep_on(*pair.hub, sleeps)) return false;
  }
  return true;
}

// Pushes `count` rounds of up to 8 and waits for all replies of each.
bool push_rounds(const ShmPair& pair, uint64_t round_count, uint64_t* sleeps) {
  base::Random random(2);
  for (uint64_t round = 0; round < round_count; ++round) {
    const bool uses_want = random.chance(0.5);
    for (uint32_t slot = 0; slot < 8; ++slot) {
      const Put push = pair.push(slot, slot);
      if (pair.worker->put({&push, 1}) != 1) return false;
    }
    uint32_t missing_replies = 8, missing_sent = 8;
    while (missing_replies > 0 || missing_sent > 0) {
      for (const Event& event : poll_once(*pair.worker)) {
        if (event.kind == EventKind::lost) return false;
        --(event.kind == EventKind::sent ? missing_sent : missing_replies);
      }
      if (missing_replies == 0 && missing_sent == 0) break;
      if (uses_want && missing_replies > 1) pair.worker->want(pair.worker_link, missing_replies);
      if (!sleep_on(*pair.worker, sleeps)) return false;
    }
  }
  return true;
}

}  // namespace

TEST(ShmWakeTest, ThresholdWakesOnceAtTheLastWantedArrival) {
  constexpr uint32_t kReplies = 3000;
  const ShmPair pair(kReplies, kReplies);
  pair.worker->want(pair.worker_link, kReplies);
  ASSERT_TRUE(pair.worker->arm());
  uint32_t wakes = 0;
  for (uint32_t i = 0; i < kReplies; ++i) {
    const Put reply = pair.reply(i, i);
    ASSERT_EQ(pair.hub->put({&reply, 1}), 1u);
    if (!is_readable(pair.worker->fd())) continue;
    ++wakes;
    EXPECT_EQ(i, kReplies - 1) << "too early";
    pair.worker->disarm();
  }
  EXPECT_EQ(wakes, 1u);
  EXPECT_FALSE(is_readable(pair.worker->fd()));
}

TEST(ShmWakeTest, AwakePeerIsNeverRung) {
  const ShmPair pair(8, 8);
  for (uint32_t i = 0; i < 8; ++i) {
    const Put push = pair.push(i, i);
    ASSERT_EQ(pair.worker->put({&push, 1}), 1u);
  }
  EXPECT_FALSE(is_readable(pair.hub->fd()));
  EXPECT_FALSE(pair.hub->arm()) << "there is something already";
}

TEST(ShmWakeTest, SleeperThatWantsMoreStaysAsleepWithSomeThere) {
  const ShmPair pair(8, 8);
  const Put reply = pair.reply(0, 1);
  ASSERT_EQ(pair.hub->put({&reply, 1}), 1u);
  pair.worker->want(pair.worker_link, 2);
  EXPECT_TRUE(pair.worker->arm());
  EXPECT_FALSE(is_readable(pair.worker->fd()));
  ASSERT_EQ(pair.hub->put({&reply, 1}), 1u);
  EXPECT_TRUE(is_readable(pair.worker->fd()));
  pair.worker->disarm();
  EXPECT_EQ(poll_once(*pair.worker).size(), 2u);
}

TEST(ShmWakeTest, SleeperThatWantsManyIsWokenByTheEndOfTheLink) {
  const ShmPair pair(8, 8);
  pair.worker->want(pair.worker_link, 8);
  ASSERT_TRUE(pair.worker->arm());
  const Put reply = pair.reply(0, 1);
  ASSERT_EQ(pair.hub->put({&reply, 1}), 1u);
  pair.hub->close(pair.hub_link);
  EXPECT_TRUE(is_readable(pair.worker->fd()));
  pair.worker->disarm();
  const std::vector<Event> events = poll_once(*pair.worker);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kind, EventKind::arrived) << "what came before the end still counts";
  EXPECT_EQ(events[1].kind, EventKind::lost);
  EXPECT_EQ(pair.worker->lost_reason(pair.worker_link), "peer closed the link");
  EXPECT_TRUE(pair.worker->arm()) << "reported once, then silence";
}

TEST(ShmWakeTest, ReleaseWakesWhoWaitsForItsMemory) {
  const ShmPair pair(8, 8);
  const Put push = pair.push(0, 1);
  ASSERT_EQ(pair.worker->put({&push, 1}), 1u);
  const std::vector<Event> arrived = poll_once(*pair.hub);
  ASSERT_EQ(arrived.size(), 1u);
  ASSERT_TRUE(pair.worker->arm());
  pair.hub->release(arrived[0]);
  ASSERT_TRUE(pair.hub->arm()) << "the hub tells before it sleeps";
  EXPECT_TRUE(is_readable(pair.worker->fd()));
  pair.worker->disarm();
  EXPECT_EQ(poll_once(*pair.worker).size(), 1u);
}

TEST(ShmWakeTest, TwoProcessesNeverMissEachOther) {
  constexpr uint64_t kRounds = 3000;
  const ShmPair pair(8, 8);
  uint64_t sleeps = 0;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(push_rounds(pair, kRounds, &sleeps) ? 0 : 1);
  EXPECT_TRUE(serve(pair, kRounds * 8, &sleeps));
  // The worker may still sleep for `sent` events that the hub tells with its next poll.
  poll_once(*pair.hub);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_GT(sleeps, 0u);
}

TEST(ShmWakeTest, TwoThreadsNeverMissEachOther) {
  constexpr uint64_t kRounds = 1500;
  const ShmPair pair(8, 8);
  uint64_t hub_sleeps = 0, worker_sleeps = 0;
  bool is_served = false;
  base::Thread hub("hub", -1, [&] {
    is_served = serve(pair, kRounds * 8, &hub_sleeps);
    poll_once(*pair.hub);
  });
  EXPECT_TRUE(push_rounds(pair, kRounds, &worker_sleeps));
  hub.join();
  EXPECT_TRUE(is_served);
  EXPECT_GT(hub_sleeps + worker_sleeps, 0u);
}

}  // namespace phub::transport
