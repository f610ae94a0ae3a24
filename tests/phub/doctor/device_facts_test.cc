// Goal: devices are read right from trees as kernels make them, and odd ones are absent, not wrong.
// Method: made-up /sys, /dev and /proc trees.
#include "phub/doctor/device_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace phub::doctor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class DeviceFactsTest : public testing::Test {
 protected:
  ~DeviceFactsTest() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text << "\n";
  }
  void link(const std::string& path, const std::string& target) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::filesystem::create_symlink(target, root_ + path);
  }

  const std::string root_ = testing::TempDir() + "phub-devices-" + std::to_string(::getpid());
};

TEST_F(DeviceFactsTest, PortsOfRdmaDevicesHaveStateInterfaceNodeAndAddresses) {
  const std::string mlx = "/sys/class/infiniband/mlx5_0";
  write(mlx + "/device/numa_node", "1");
  write(mlx + "/ports/1/state", "4: ACTIVE");
  write(mlx + "/ports/1/link_layer", "Ethernet");
  write(mlx + "/ports/1/gids/0", "fe80:0000:0000:0000:0000:0000:0000:0001");
  write(mlx + "/ports/1/gids/1", "0000:0000:0000:0000:0000:ffff:0a01:0007");
  write(mlx + "/ports/1/gids/2", "0000:0000:0000:0000:0000:0000:0000:0000");
  write(mlx + "/ports/1/gid_attrs/types/0", "RoCE v2");
  write(mlx + "/ports/1/gid_attrs/types/1", "RoCE v2");
  write(mlx + "/ports/1/gid_attrs/ndevs/0", "eth3");
  write("/sys/class/net/eth3/mtu", "9000");
  const std::string rxe = "/sys/class/infiniband/rxe0";
  write(rxe + "/parent", "eth1");
  write(rxe + "/ports/1/state", "1: DOWN");
  write(rxe + "/ports/1/link_layer", "Ethernet");
  write("/sys/class/net/eth1/mtu", "1500");
  write("/sys/class/net/eth1/device/numa_node", "-1");
  write("/sys/class/infiniband_verbs/uverbs0/ibdev", "mlx5_0");
  write("/sys/class/infiniband_verbs/abi_version", "6");
  write("/dev/infiniband/uverbs0", "");
  const DeviceFacts facts = read_devices(root_);
  ASSERT_EQ(facts.rdma_ports.size(), 2u);
  const RdmaPort& port = facts.rdma_ports[0];
  EXPECT_EQ(port.name(), "mlx5_0:1");
  EXPECT_TRUE(port.is_active());
  EXPECT_FALSE(port.is_infiniband);
  EXPECT_EQ(port.interface, "eth3");
  EXPECT_EQ(port.interface_mtu, 9000u);
  EXPECT_EQ(port.numa_node, 1u);
  ASSERT_EQ(port.gids.size(), 2u);
  EXPECT_EQ(transport::to_text(port.gids[1].gid), "10.1.0.7");
  EXPECT_EQ(facts.rdma_ports[1].state, "DOWN");
  EXPECT_EQ(facts.rdma_ports[1].interface, "eth1");
  EXPECT_EQ(facts.rdma_ports[1].numa_node, std::nullopt);
  ASSERT_EQ(facts.verbs_files.size(), 1u);
  EXPECT_EQ(facts.verbs_files[0].path, "/dev/infiniband/uverbs0");
  EXPECT_EQ(facts.verbs_files[0].of, "mlx5_0");
  EXPECT_TRUE(facts.verbs_files[0].is_open);
}

TEST_F(DeviceFactsTest, NicsOnPciHaveTheirDriversAndGroups) {
  const std::string pci = "/sys/bus/pci/devices/";
  write(pci + "0000:00:1f.0/class", "0x060100");
  write(pci + "0000:3b:00.0/class", "0x020000");
  write(pci + "0000:3b:00.0/net/eth0/mtu", "1500");
  link(pci + "0000:3b:00.0/driver", "../../../bus/pci/drivers/ixgbe");
  write(pci + "0000:5e:00.0/class", "0x020000");
  write(pci + "0000:5e:00.0/numa_node", "1");
  link(pci + "0000:5e:00.0/driver", "../../../bus/pci/drivers/vfio-pci");
  link(pci + "0000:5e:00.0/iommu_group", "../../../kernel/iommu_groups/42");
  write("/sys/kernel/iommu_groups/42/type", "DMA");
  write("/dev/vfio/vfio", "");
  const DeviceFacts facts = read_devices(root_);
  ASSERT_EQ(facts.pci_nics.size(), 2u);
  EXPECT_EQ(facts.pci_nics[0].driver, "ixgbe");
  EXPECT_THAT(facts.pci_nics[0].interfaces, ElementsAre("eth0"));
  EXPECT_FALSE(facts.pci_nics[0].is_free_for_dpdk());
  EXPECT_TRUE(facts.pci_nics[1].is_free_for_dpdk());
  EXPECT_EQ(facts.pci_nics[1].iommu_group, "42");
  EXPECT_TRUE(facts.has_iommu);
  ASSERT_EQ(facts.vfio_files.size(), 2u);
  EXPECT_TRUE(facts.vfio_files[0].is_open);
  EXPECT_EQ(facts.vfio_files[1].path, "/dev/vfio/42");
  EXPECT_FALSE(facts.vfio_files[1].exists);
}

TEST_F(DeviceFactsTest, HugePagesAreCountedByPoolAndNode) {
  write("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512");
  write("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "100");
  const std::string nodes = "/sys/devices/system/node/";
  for (const std::string node : {"node0", "node1"}) {
    write(nodes + node + "/distance", node == "node0" ? "10 21" : "21 10");
    write(nodes + node + "/cpulist", node == "node0" ? "0-7" : "8-15");
  }
  write(nodes + "node0/hugepages/hugepages-2048kB/nr_hugepages", "512");
  write(nodes + "node1/hugepages/hugepages-2048kB/nr_hugepages", "0");
  write("/proc/mounts", "proc /proc proc rw 0 0\nhugetlbfs /mnt/huge hugetlbfs rw 0 0");
  const DeviceFacts facts = read_devices(root_);
  ASSERT_EQ(facts.huge_page_pools.size(), 1u);
  EXPECT_EQ(facts.huge_page_pools[0].page_bytes, 2u << 20);
  EXPECT_EQ(facts.huge_page_pools[0].total, 512u);
  EXPECT_EQ(facts.huge_page_pools[0].free, 100u);
  EXPECT_THAT(facts.huge_page_pools[0].total_of_node, ElementsAre(512, 0));
  EXPECT_THAT(facts.huge_page_mounts, ElementsAre("/mnt/huge"));
  EXPECT_THAT(facts.core_nodes, ElementsAre(0, 1));
  EXPECT_THAT(facts.distances[1], ElementsAre(21, 10));
}

TEST_F(DeviceFactsTest, AnEmptyMachineHasNone) {
  const DeviceFacts facts = read_devices(root_);
  EXPECT_THAT(facts.rdma_ports, IsEmpty());
  EXPECT_THAT(facts.pci_nics, IsEmpty());
  EXPECT_THAT(facts.huge_page_pools, IsEmpty());
  EXPECT_FALSE(facts.has_iommu);
}

}  // namespace
}  // namespace phub::doctor
