// Goal: a hub's rails are the RDMA devices that work, each with the node it is near to.
// Method: made-up trees of /sys, and a described machine.
#include "config/rdma_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace phub::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

class RdmaDevicesTest : public testing::Test {
 protected:
  ~RdmaDevicesTest() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ + "/sys/class/" + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  std::vector<std::pair<std::string, uint32_t>> find(const std::vector<std::string>& wanted) {
    std::vector<std::pair<std::string, uint32_t>> found;
    for (const Nic& nic : find_rdma_devices(topology_, wanted, root_)) {
      EXPECT_TRUE(nic.is_rdma);
      found.emplace_back(nic.name, nic.numa_node);
    }
    return found;
  }

  Topology topology_;
  const std::string root_ = testing::TempDir() + "phub_rdma_devices_" + std::to_string(::getpid());
};

TEST_F(RdmaDevicesTest, AllActiveDevicesAreRailsByNodeAndName) {
  topology_.nics = {{"mlx5_9", 1, true}, {"eth0", 0, false}};
  write("infiniband/mlx5_9/ports/1/state", "4: ACTIVE");
  write("infiniband/mlx5_0/ports/1/state", "4: ACTIVE");
  write("infiniband/mlx5_0/device/numa_node", "1");
  write("infiniband/mlx5_1/ports/1/state", "1: DOWN");
  write("infiniband/rxe0/ports/1/state", "4: ACTIVE");
  write("infiniband/rxe0/parent", "eth0");
  write("net/eth0/device/numa_node", "0");
  write("infiniband/rxe1/ports/1/state", "4: ACTIVE");
  write("infiniband/rxe1/parent", "eth1");
  write("net/eth1/device/numa_node", "-1");
  EXPECT_THAT(find({}),
              ElementsAre(Pair("rxe0", 0), Pair("rxe1", 0), Pair("mlx5_0", 1), Pair("mlx5_9", 1)));
}

TEST_F(RdmaDevicesTest, NamedDevicesKeepTheirOrderEvenIfTheyAreNotHere) {
  topology_.nics = {{"mlx5_9", 1, true}};
  write("infiniband/mlx5_9/ports/2/state", "1: DOWN");
  EXPECT_THAT(find({"mlx5_9:2", "mlx5_0"}), ElementsAre(Pair("mlx5_9:2", 1), Pair("mlx5_0", 0)));
}

TEST_F(RdmaDevicesTest, AMachineWithoutRdmaHasNone) { EXPECT_THAT(find({}), IsEmpty()); }

}  // namespace
}  // namespace phub::config
