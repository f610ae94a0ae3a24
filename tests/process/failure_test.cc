// Goal: when a process dies or falls silent, everybody who waits is told who, in time; the hub and
// its other jobs go on, and the job can be joined again. Bad input costs only the one who sent it.
// Method: real phubd, real worker processes, kill -9 and SIGSTOP; every wait has a deadline.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "base/clock.h"
#include "base/random.h"
#include "base/thread.h"
#include "exchange/session_codec.h"
#include "exchange/session_stream.h"
#include "tests/process/child.h"
#include "transport/tcp_socket.h"

namespace phub::process {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class FailureTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = "/tmp/phub-failure-" + std::to_string(::getpid()) + "-" +
            testing::UnitTest::GetInstance()->current_test_info()->name() + ".sock";
  }
  Child start_hub(const std::vector<std::string>& more = {}) {
    const size_t shards = base::allowed_cores().size();
    std::vector<std::string> argv = {PHUB_TEST_PHUBD,
                                     "--listen",
                                     "shm://" + path_ + ",tcp://127.0.0.1:0",
                                     "--http",
                                     "off",
                                     "--shards",
                                     std::to_string(std::min<size_t>(2, shards)),
                                     "--peer-timeout",
                                     "1500ms",
                                     "--ready-fd",
                                     "1"};
    argv.insert(argv.end(), more.begin(), more.end());
    Child hub(argv);
    const std::optional<std::string> ready = hub.wait_line("phubd", seconds(20));
    EXPECT_TRUE(ready.has_value()) << "phubd did not start";
    const size_t tcp = ready.value_or("tcp://,").find("tcp://");
    tcp_address_ = ready.value_or("tcp://,").substr(tcp);
    tcp_address_ = tcp_address_.substr(0, tcp_address_.find(','));
    return hub;
  }
  Child start_worker(const std::string& job, uint32_t rank, uint32_t size,
                     const std::string& secret = "test secret", bool over_tcp = false) {
    return Child({PHUB_TEST_WORKER, over_tcp ? tcp_address_ : "shm://" + path_, job,
                  std::to_string(rank), std::to_string(size), secret});
  }
  std::vector<Child> start_job(const std::string& job, uint32_t size) {
    std::vector<Child> workers;
    for (uint32_t rank = 0; rank < size; ++rank) workers.push_back(start_worker(job, rank, size));
    for (Child& worker : workers) {
      EXPECT_TRUE(worker.wait_line("round", seconds(20)).has_value()) << job;
    }
    return workers;
  }
  base::HostPort tcp_port() const {
    return base::parse_host_port(tcp_address_.substr(tcp_address_.find("://") + 3)).value();
  }
  std::string path_;
  std::string tcp_address_;
};

TEST_F(FailureTest, AJobMixesNetworksAndADeadRankOverTcpIsNamedToTheOthers) {
  const Child hub = start_hub();
  std::vector<Child> other = start_job("other", 2);
  std::vector<Child> mixed;
  for (uint32_t rank = 0; rank < 3; ++rank) {
    mixed.push_back(start_worker("mixed", rank, 3, "test secret", rank > 0));
  }
  for (Child& worker : mixed) ASSERT_TRUE(worker.wait_line("round", seconds(20)).has_value());
  mixed[1].signal(SIGKILL);
  for (const size_t rank : {0u, 2u}) {
    const std::optional<std::string> line = mixed[rank].wait_line("error", seconds(10));
    ASSERT_TRUE(line.has_value()) << "rank " << rank << " hangs";
    EXPECT_NE(line->find("rank 1 (process " + std::to_string(mixed[1].pid())), std::string::npos)
        << *line;
  }
  EXPECT_TRUE(other[0].wait_line("round", seconds(10)).has_value());
}

TEST_F(FailureTest, AKilledWorkerIsNamedToTheOthersWithinASecondAndTheHubGoesOn) {
  const Child hub = start_hub();
  std::vector<Child> other = start_job("other", 2);
  std::vector<Child> doomed = start_job("doomed", 3);
  doomed[1].signal(SIGKILL);
  const base::Instant killed = base::now();
  for (const size_t rank : {0u, 2u}) {
    const std::optional<std::string> line = doomed[rank].wait_line("error", seconds(10));
    ASSERT_TRUE(line.has_value()) << "rank " << rank << " hangs";
    EXPECT_NE(line->find("error aborted"), std::string::npos) << *line;
    EXPECT_NE(line->find("rank 1 (process " + std::to_string(doomed[1].pid())), std::string::npos)
        << *line;
    EXPECT_NE(line->find("fc."), std::string::npos) << "names no tensor: " << *line;
    EXPECT_EQ(doomed[rank].wait_exit(seconds(10)), 3);
  }
  // A generous stand-in for the promised second: nothing is ever timed in a test.
  EXPECT_LT((base::now() - killed).count(), 8'000'000'000);
  EXPECT_TRUE(other[0].wait_line("round", seconds(10)).has_value());
  EXPECT_TRUE(other[0].wait_line("round", seconds(10)).has_value());
  const std::vector<Child> again = start_job("doomed", 3);
}

TEST_F(FailureTest, ASilentWorkerIsFoundByItsSilence) {
  const Child hub = start_hub();
  std::vector<Child> workers = start_job("quiet", 2);
  workers[1].signal(SIGSTOP);
  const std::optional<std::string> line = workers[0].wait_line("error", seconds(20));
  ASSERT_TRUE(line.has_value()) << "the other rank hangs";
  EXPECT_NE(line->find("rank 1"), std::string::npos) << *line;
  EXPECT_NE(line->find("silent"), std::string::npos) << *line;
}

TEST_F(FailureTest, ADeadHubIsNamedToEveryWorker) {
  Child hub = start_hub();
  std::vector<Child> workers = start_job("orphans", 2);
  hub.signal(SIGKILL);
  for (Child& worker : workers) {
    const std::optional<std::string> line = worker.wait_line("error", seconds(20));
    ASSERT_TRUE(line.has_value()) << "a worker hangs";
    EXPECT_NE(line->find("error unavailable"), std::string::npos) << *line;
    EXPECT_NE(line->find("hub shm://" + path_), std::string::npos) << *line;
  }
}

TEST_F(FailureTest, AStoppedHubIsFoundByItsSilence) {
  Child hub = start_hub();
  std::vector<Child> workers = start_job("waiting", 1);
  hub.signal(SIGSTOP);
  const std::optional<std::string> line = workers[0].wait_line("error", seconds(20));
  ASSERT_TRUE(line.has_value()) << "the worker hangs";
  EXPECT_NE(line->find("error unavailable"), std::string::npos) << *line;
}

TEST_F(FailureTest, SigtermDrainsAndASecondOneStopsWithAWordToEverybody) {
  Child hub = start_hub();
  std::vector<Child> workers = start_job("last", 2);
  hub.signal(SIGTERM);
  EXPECT_TRUE(workers[0].wait_line("round", seconds(10)).has_value()) << "a drain ends nobody";
  Child late = start_worker("new", 0, 1);
  const std::optional<std::string> refused = late.wait_line("error", seconds(10));
  ASSERT_TRUE(refused.has_value());
  EXPECT_NE(refused->find("drain"), std::string::npos) << *refused;
  EXPECT_FALSE(hub.wait_exit(milliseconds(100)).has_value());
  hub.signal(SIGTERM);
  for (Child& worker : workers) {
    const std::optional<std::string> line = worker.wait_line("error", seconds(10));
    ASSERT_TRUE(line.has_value());
    EXPECT_NE(line->find("error unavailable"), std::string::npos) << *line;
    EXPECT_NE(line->find("stopped"), std::string::npos) << *line;
  }
  EXPECT_EQ(hub.wait_exit(seconds(10)), 0);
}

TEST_F(FailureTest, ADrainedHubEndsWhenItsLastJobDoes) {
  Child hub = start_hub();
  hub.signal(SIGTERM);
  EXPECT_EQ(hub.wait_exit(seconds(10)), 0);
}

TEST_F(FailureTest, WrongSecretDuplicateRankAndOtherSizesAreRefusedWithTheReason) {
  const Child hub = start_hub();
  std::vector<Child> workers = start_job("guarded", 2);
  const auto expect_refused = [&](Child worker, const std::string& why) {
    const std::optional<std::string> line = worker.wait_line("error", seconds(10));
    ASSERT_TRUE(line.has_value()) << why;
    EXPECT_NE(line->find(why), std::string::npos) << *line;
  };
  expect_refused(start_worker("guarded", 0, 2, "wrong"), "permission_denied");
  expect_refused(start_worker("guarded", 1, 2), "already_exists");
  expect_refused(start_worker("guarded", 1, 3), "has 2 ranks");
  EXPECT_TRUE(workers[1].wait_line("round", seconds(10)).has_value()) << "a neighbour noticed";
}

TEST_F(FailureTest, RandomAndTruncatedBytesCloseOnlyTheirOwnConnection) {
  const Child hub = start_hub();
  std::vector<Child> workers = start_job("calm", 2);
  base::Random random(11);
  const std::string hello = exchange::encode(exchange::Hello{});
  for (int attempt = 0; attempt < 200; ++attempt) {
    const base::Instant deadline = base::now() + seconds(5);
    Result<base::Fd> socket = attempt % 4 < 2 ? exchange::connect_unix(path_, deadline)
                                              : transport::connect_tcp(tcp_port(), deadline);
    ASSERT_TRUE(socket.ok()) << socket.status().message();
    std::string bytes = attempt % 2 == 0 ? hello : std::string(1 + random.below(3000), 'x');
    for (int flip = 0; flip < 8; ++flip) {
      bytes[random.below(bytes.size())] = static_cast<char>(random.next());
    }
    bytes.resize(1 + random.below(bytes.size()));
    ::send(socket->get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  EXPECT_TRUE(workers[0].wait_line("round", seconds(10)).has_value());
  EXPECT_TRUE(workers[1].wait_line("round", seconds(10)).has_value());
}

TEST_F(FailureTest, SharedMemoryOverATcpSessionIsRefusedWithTheReason) {
  const Child hub = start_hub();
  Result<base::Fd> socket = transport::connect_tcp(tcp_port(), base::now() + seconds(5));
  ASSERT_TRUE(socket.ok()) << socket.status().message();
  exchange::SessionStream stream(std::move(socket).value(), exchange::kFrameBytesMax);
  exchange::Hello hello;
  hello.job.rank_count = 1;
  hello.fabric = "shm";
  hello.nonce = std::string(64, 'a');
  stream.queue({hello, {}});
  ASSERT_TRUE(stream.write().ok());
  std::vector<exchange::Message> answers;
  for (int i = 0; i < 1000 && answers.empty() && stream.read(answers).ok(); ++i) {
    std::this_thread::sleep_for(milliseconds(5));
  }
  ASSERT_EQ(answers.size(), 1u);
  const auto* const failure = std::get_if<exchange::Failure>(&answers[0].body);
  ASSERT_NE(failure, nullptr);
  EXPECT_NE(failure->message.find("over a session by tcp"), std::string::npos) << failure->message;
}

TEST_F(FailureTest, TooManyJobsAndTooMuchMemoryAreRefusedWithNumbers) {
  const Child hub =
      start_hub({"--jobs-max", "1", "--memory-limit", "16MiB", "--job-memory-limit", "16MiB"});
  Child greedy({PHUB_TEST_WORKER, "shm://" + path_, "greedy", "0", "1", "s", "4000000"});
  const std::optional<std::string> memory = greedy.wait_line("error", seconds(10));
  ASSERT_TRUE(memory.has_value());
  EXPECT_NE(memory->find("bytes of the hub's memory"), std::string::npos) << *memory;
  Child first = start_worker("first", 0, 2);  // Waits for its peer.
  Child second = start_worker("second", 0, 2);
  std::optional<std::string> refused;
  while (!refused.has_value()) {  // Whichever came second.
    refused = first.wait_line("error", milliseconds(50));
    if (!refused.has_value()) refused = second.wait_line("error", milliseconds(50));
  }
  EXPECT_NE(refused->find("as many as it may"), std::string::npos) << *refused;
}

}  // namespace
}  // namespace phub::process
