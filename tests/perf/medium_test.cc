// Goal: hub and workers of a measurement meet over devices that they do not share while there are
// enough. Method: lists of devices in, choices out.
#include "perf/medium.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phub::perf {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<std::string> kFour = {"rxe0", "rxe1", "rxe2", "rxe3"};

TEST(MediumTest, WorkersTakeTheDevicesThatTheHubLeavesInTurn) {
  EXPECT_THAT(hub_devices(kFour, 1), ElementsAre("rxe0"));
  EXPECT_THAT(worker_devices(kFour, 1, 0), ElementsAre("rxe1"));
  EXPECT_THAT(worker_devices(kFour, 1, 2), ElementsAre("rxe3"));
  EXPECT_THAT(worker_devices(kFour, 1, 3), ElementsAre("rxe1"));
  EXPECT_THAT(hub_devices(kFour, 2), ElementsAre("rxe0", "rxe1"));
  EXPECT_THAT(worker_devices(kFour, 2, 1), ElementsAre("rxe2", "rxe3"));
  EXPECT_THAT(worker_devices(kFour, 3, 0), ElementsAre("rxe3"));
}

TEST(MediumTest, WithNoOthersTheyShareTheHubs) {
  EXPECT_THAT(hub_devices({"mlx5_0"}, 4), ElementsAre("mlx5_0"));
  EXPECT_THAT(worker_devices({"mlx5_0"}, 4, 1), ElementsAre("mlx5_0"));
}

TEST(MediumTest, EveryRankHasAMemifDeviceAtEveryHub) {
  Case one;
  one.fabric = "dpdk";
  one.workers = 2;
  one.form.hubs = 2;
  const std::vector<std::string> hub = hub_medium(one, "/run/x", 1);
  ASSERT_THAT(hub, Contains("--dpdk-eal"));
  EXPECT_THAT(hub, Contains(HasSubstr("net_memif1,role=server,id=1")));
  EXPECT_THAT(hub, Contains(HasSubstr("socket=/run/x/memif1.sock")));
  const std::string eal = worker_medium(one, "/run/x", 1).at("dpdk_eal");
  EXPECT_THAT(eal, HasSubstr("net_memif0,role=client,id=1"));
  EXPECT_THAT(eal, HasSubstr("socket=/run/x/memif0.sock"));
  EXPECT_THAT(eal, HasSubstr("socket=/run/x/memif1.sock"));
}

TEST(MediumTest, OtherFabricsNeedNothing) {
  EXPECT_TRUE(hub_medium(Case(), "/run/x", 0).empty());
  EXPECT_TRUE(worker_medium(Case(), "/run/x", 0).empty());
}

}  // namespace
}  // namespace phub::perf
