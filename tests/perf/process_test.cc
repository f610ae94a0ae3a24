// Goal: children are started, end as they end, and never outlive their owner.
// Method: shell one-liners.
#include "perf/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "perf/machine.h"

namespace phub::perf {
namespace {

int wait_for(Process& process) {
  while (!process.exit_status()) std::this_thread::yield();
  return *process.exit_status();
}

TEST(ProcessTest, ExitStatusAndOutputComeBack) {
  const Result<base::Fd> output = make_output_file();
  ASSERT_TRUE(output.ok());
  Result<Process> process =
      Process::start({"sh", "-c", "echo out; echo err >&2; exit 3"}, output->get());
  ASSERT_TRUE(process.ok()) << process.status().message();
  EXPECT_EQ(wait_for(*process), 3);
  EXPECT_EQ(tail_of(*output), "out\nerr\n");
  EXPECT_EQ(tail_of(*output, 4), "err\n");
}

TEST(ProcessTest, AProgramThatIsNotThereIsNamed) {
  const Result<Process> process = Process::start({"/nowhere/program"}, -1);
  EXPECT_EQ(process.status().code(), Code::not_found);
  EXPECT_THAT(process.status().message(), testing::HasSubstr("/nowhere/program"));
}

TEST(ProcessTest, StoppingEndsEvenWhoIgnoresTheSignal) {
  Result<Process> process = Process::start({"sh", "-c", "trap '' TERM; while :; do :; done"}, -1);
  ASSERT_TRUE(process.ok());
  const pid_t id = process->id();
  process->stop(std::chrono::milliseconds(20));
  EXPECT_EQ(kill(id, 0), -1);
}

TEST(ProcessTest, DeathBySignalIsVisible) {
  Result<Process> process = Process::start({"sh", "-c", "kill -9 $$"}, -1);
  ASSERT_TRUE(process.ok());
  EXPECT_EQ(wait_for(*process), 128 + 9);
}

TEST(MachineTest, TheMachineAndThisProcessAreKnown) {
  const Machine machine = this_machine();
  EXPECT_GT(machine.cores, 0u);
  EXPECT_GT(machine.memory_bytes, 1u << 20);
  EXPECT_FALSE(machine.revision.empty());
  EXPECT_GT(hub_bytes(getpid()), 0u);
  EXPECT_EQ(hub_bytes(-1), 0u);
  EXPECT_GE(cpu_seconds(getpid()), 0.0);
}

}  // namespace
}  // namespace phub::perf
