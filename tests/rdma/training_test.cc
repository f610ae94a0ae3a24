// Goal: a whole training over RDMA ends with the weights of one process, bit for bit, on one rail
// or two, and also when one of two rails is pulled in the middle of it.
// Method: phubd and two workers of examples/digits on soft-RoCE devices; checksums of the weights.
#include "tests/rdma/machine_fixture.h"

namespace phub::rdma {
namespace {

class RdmaTrainingTest : public MachineFixture {
 protected:
  std::vector<Child> start_training(const std::vector<std::string>& devices, uint32_t epochs) {
    std::vector<Child> ranks;
    for (uint32_t rank = 0; rank < devices.size(); ++rank) {
      ranks.push_back(start_on(
          devices[rank],
          {"/usr/bin/env", "PHUB_HUB=" + address_, "PHUB_JOB=digits",
           "PHUB_RANK=" + std::to_string(rank), "PHUB_SIZE=" + std::to_string(devices.size()),
           PHUB_TEST_DIGITS, "--epochs", std::to_string(epochs)}));
    }
    return ranks;
  }
  static void expect_weights_of_one_process(std::vector<Child>& ranks, uint32_t epochs) {
    Child alone({PHUB_TEST_DIGITS, "--local", "--ranks", std::to_string(ranks.size()), "--epochs",
                 std::to_string(epochs)});
    const std::string wanted = weights(alone, "one process: ");
    for (uint32_t rank = 0; rank < ranks.size(); ++rank) {
      EXPECT_EQ(weights(ranks[rank], "rank " + std::to_string(rank) + " of "), wanted);
    }
  }
  static std::string weights(Child& child, const std::string& prefix) {
    const std::string line = child.wait_line(prefix, kPatience).value_or("");
    EXPECT_THAT(line, HasSubstr("weights"));
    return line.substr(line.find(": ") + 1);
  }
};

TEST_F(RdmaTrainingTest, TwoWorkersOnTwoDevicesEndWithTheWeightsOfOneProcess) {
  const Child hub = start_hub("rxe0");
  std::vector<Child> ranks = start_training({"rxe0", "rxe1"}, 5);
  expect_weights_of_one_process(ranks, 5);
}

TEST_F(RdmaTrainingTest, WithOneOfTwoRailsPulledInTheMiddleTheWeightsAreTheSame) {
  const Child hub = start_hub("rxe0,rxe1");
  std::vector<Child> ranks = start_training({"rxe2,rxe3", "rxe2,rxe3"}, 20);
  ASSERT_TRUE(ranks[0].wait_line("epoch   1", kPatience).has_value());
  cables_.pull(1);
  ASSERT_TRUE(ranks[0].wait_line("epoch  10", kPatience).has_value());
  cables_.plug(1);
  expect_weights_of_one_process(ranks, 20);
}

}  // namespace
}  // namespace phub::rdma
