// Goal: a cable that is out for a moment costs time only; out for longer than peer_timeout, or with
// a worker dead behind it, everybody is told who is gone, and the job can be joined again. A worker
// that stands still holds up its own job only.
// Method: phubd and workers in network namespaces; cables are bridge ports that go down.
#include <signal.h>

#include <thread>

#include "tests/net/rack_fixture.h"
#include "transport/tcp_socket.h"

namespace phub::net {
namespace {

class CableTest : public RackFixture {
 protected:
  void SetUp() override {
    RackFixture::SetUp();
    if (!IsSkipped()) add_nodes(2);
  }
  // For the time of a failed look-up the kernel says "no route" at once, cable or not.
  void plug_and_wait_for_a_path(const Node& node) {
    network_->plug_cable(node);
    node.run([] {
      const base::Instant deadline = base::now() + kPatience;
      while (!transport::connect_tcp({"10.77.0.1", 7077}, deadline).ok()) {
        ASSERT_LT(base::now(), deadline) << "the cable is in, but there is no path";
        sleep(milliseconds(50));
      }
    });
  }
  static void sleep(milliseconds time) { std::this_thread::sleep_for(time); }

  const std::string address_ = "tcp://10.77.0.1:7077";
};

TEST_F(CableTest, OutForLessThanTheTimeoutTheJobGoesOnWithExactResults) {
  const Child hub = start_hub("tcp://eth0:7077", {"--peer-timeout", "20s"});
  std::vector<Child> workers = start_job(address_, "patient", 0, 20'000);
  for (Child& worker : workers) expect_rounds(worker);
  for (const Node* const node : {nodes_[1], hub_node_}) {
    network_->pull_cable(*node);
    sleep(milliseconds(500));
    network_->plug_cable(*node);
    for (Child& worker : workers) expect_new_rounds(worker);
  }
}

TEST_F(CableTest, OutForLongerEveryRankIsToldWhoIsGoneAndTheJobCanBeJoinedAgain) {
  const Child hub = start_hub("tcp://eth0:7077", {"--peer-timeout", "2s"});
  std::vector<Child> workers = start_job(address_, "cut", 0);
  for (Child& worker : workers) expect_rounds(worker);
  network_->pull_cable(*nodes_[1]);
  const std::string near = error_of(workers[0]);
  EXPECT_THAT(near, HasSubstr("rank 1 (process " + std::to_string(workers[1].pid())));
  EXPECT_THAT(near, HasSubstr("is lost: silent for"));
  EXPECT_THAT(near, HasSubstr("large"));  // The tensor.
  const std::string far = error_of(workers[1]);
  EXPECT_THAT(far, HasSubstr("hub " + address_ + ": the hub has been silent for"));
  plug_and_wait_for_a_path(*nodes_[1]);
  std::vector<Child> again = start_job(address_, "cut", 10);
  expect_done(again);
}

TEST_F(CableTest, AWorkerThatDiesBehindAPulledCableIsNamedInTime) {
  const Child hub = start_hub("tcp://eth0:7077", {"--peer-timeout", "2s"});
  std::vector<Child> workers = start_job(address_, "halfopen", 0);
  for (Child& worker : workers) expect_rounds(worker);
  network_->pull_cable(*nodes_[1]);
  const std::string process = std::to_string(workers[1].pid());
  workers[1].signal(SIGKILL);  // No FIN, no reset ever reaches the hub.
  EXPECT_THAT(error_of(workers[0]), HasSubstr("rank 1 (process " + process));
  plug_and_wait_for_a_path(*nodes_[1]);
  std::vector<Child> again = start_job(address_, "halfopen", 10);
  expect_done(again);
}

TEST_F(CableTest, AWorkerThatStandsStillHoldsUpItsOwnJobOnly) {
  const Child hub = start_hub("tcp://eth0:7077", {"--peer-timeout", "30s"});
  std::vector<Child> slow = start_job(address_, "slow", 0, 1'000'000);
  std::vector<Child> quick = start_job(address_, "quick", 0, 20'000);
  for (Child& worker : slow) expect_rounds(worker);
  slow[1].signal(SIGSTOP);  // Neither reads nor writes: what is sent to it fills the sockets.
  while (slow[0].wait_line("round", milliseconds(300)).has_value()) continue;
  for (Child& worker : quick) expect_new_rounds(worker);
  EXPECT_FALSE(slow[0].wait_line("round", milliseconds(20)).has_value());
  slow[1].signal(SIGCONT);
  for (Child& worker : slow) expect_rounds(worker);
}

}  // namespace
}  // namespace phub::net
