// Goal: over RDMA, a cable that is out costs time only, lost packets nothing but time, and a dead
// process is named to everybody who waits for it; every result of every round is exact.
// Method: phubd and workers on soft-RoCE devices; the switch's ports go down and lose packets.
#include <signal.h>

#include <array>
#include <thread>

#include "tests/rdma/machine_fixture.h"

namespace phub::rdma {
namespace {

using RdmaFailureTest = MachineFixture;

TEST_F(RdmaFailureTest, ACableThatIsOutForAMomentCostsTimeOnly) {
  const Child hub = start_hub("rxe0");
  std::vector<Child> ranks = start_pair("patient");
  expect_rounds(ranks);
  for (const uint32_t device : {1u, 0u}) {
    SCOPED_TRACE(device);
    cables_.pull(device);
    wait_for_silence(ranks[0]);
    cables_.plug(device);
    expect_new_rounds(ranks);
  }
}

TEST_F(RdmaFailureTest, LostPacketsCostTimeOnly) {
  const Child hub = start_hub("rxe0");
  for (const char* const loss : {"loss 0.1%", "loss 1%"}) {
    SCOPED_TRACE(loss);
    cables_.harm(std::array{0u, 1u, 2u}, loss);
    std::vector<Child> ranks = start_pair("lossy", 20);
    expect_done(ranks);
  }
}

TEST_F(RdmaFailureTest, AKilledWorkerIsNamedToTheOthersAndTheHubGoesOn) {
  const Child hub = start_hub("rxe0");
  std::vector<Child> other = start_pair("other");
  std::vector<Child> doomed = start_pair("doomed");
  expect_rounds(doomed);
  const std::string process = std::to_string(doomed[1].pid());
  doomed[1].signal(SIGKILL);
  EXPECT_THAT(error_of(doomed[0]), HasSubstr("rank 1 (process " + process));
  expect_new_rounds(other);
  std::vector<Child> again = start_pair("doomed", 5);
  expect_done(again);
}

TEST_F(RdmaFailureTest, AKilledHubIsNamedToEveryWorker) {
  Child hub = start_hub("rxe0");
  std::vector<Child> ranks = start_pair("orphans");
  expect_rounds(ranks);
  hub.signal(SIGKILL);
  for (Child& rank : ranks) EXPECT_THAT(error_of(rank), HasSubstr("hub " + address_));
}

}  // namespace
}  // namespace phub::rdma
