// Goal: cores, NUMA nodes and NICs are found, and shards are spread so that every memory controller
// works. Method: machines described in text, and the machine that runs the test.
#include "config/topology.h"

#include <gtest/gtest.h>

#include <set>

#include "base/thread.h"

namespace phub::config {
namespace {

std::vector<int> indexes(const std::vector<Core>& cores) {
  std::vector<int> result;
  for (const Core& core : cores) result.push_back(core.index);
  return result;
}

TEST(TopologyTest, ThisMachineHasTheCoresThatTheSchedulerAllows) {
  const Result<Topology> topology = discover_topology();
  ASSERT_TRUE(topology.ok()) << topology.status().message();
  std::vector<int> found = indexes(topology->cores);
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, base::allowed_cores());
  EXPECT_GE(topology->numa_node_count, 1u);
}

TEST(TopologyTest, HyperThreadSiblingsComeLast) {
  const Result<Topology> topology = describe_topology("numa:2 core:2 pu:2");
  ASSERT_TRUE(topology.ok()) << topology.status().message();
  EXPECT_EQ(indexes(topology->cores), (std::vector<int>{0, 2, 4, 6, 1, 3, 5, 7}));
  EXPECT_EQ(topology->numa_node_count, 2u);
  EXPECT_EQ(topology->cores[0].numa_node, 0u);
  EXPECT_EQ(topology->cores[2].numa_node, 1u);
}

TEST(TopologyTest, ShardsAreSpreadOverNumaNodesEvenly) {
  const Result<Topology> topology = describe_topology("numa:2 core:4 pu:1");
  ASSERT_TRUE(topology.ok()) << topology.status().message();
  EXPECT_EQ(indexes(choose_shard_cores(*topology, 4)), (std::vector<int>{0, 4, 1, 5}));
  EXPECT_TRUE(choose_shard_cores(*topology, 0).empty());
}

TEST(TopologyTest, EveryCoreIsChosenOnceWhenAllAreWanted) {
  const Result<Topology> topology = describe_topology("numa:2 core:3 pu:2");
  ASSERT_TRUE(topology.ok()) << topology.status().message();
  const std::vector<int> chosen = indexes(choose_shard_cores(*topology, 12));
  EXPECT_EQ(std::set<int>(chosen.begin(), chosen.end()).size(), 12u);
}

TEST(TopologyTest, PhysicalCoresAreTakenBeforeTheirSiblings) {
  const Result<Topology> topology = describe_topology("numa:2 core:2 pu:2");
  ASSERT_TRUE(topology.ok()) << topology.status().message();
  EXPECT_EQ(indexes(choose_shard_cores(*topology, 4)), (std::vector<int>{0, 4, 2, 6}));
}

TEST(TopologyTest, NonsenseIsRefusedByName) {
  const Result<Topology> topology = describe_topology("rack:full");
  ASSERT_FALSE(topology.ok());
  EXPECT_EQ(topology.status().code(), Code::invalid_argument);
  EXPECT_NE(topology.status().message().find("rack:full"), std::string::npos);
  EXPECT_FALSE(read_topology_xml("<topology").ok());
}

// One package with two NUMA nodes; an Ethernet port behind the second, and a loopback-like device
// that hangs on no PCI function.
constexpr const char* kMachineWithNics = R"(<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE topology SYSTEM "hwloc2.dtd">
<topology version="2.0">
 <object type="Machine" os_index="0" cpuset="0x3" complete_cpuset="0x3" allowed_cpuset="0x3"
   nodeset="0x3" complete_nodeset="0x3" allowed_nodeset="0x3" gp_index="1">
  <object type="Package" os_index="0" cpuset="0x1" complete_cpuset="0x1" nodeset="0x1"
    complete_nodeset="0x1" gp_index="2">
   <object type="NUMANode" os_index="0" cpuset="0x1" complete_cpuset="0x1" nodeset="0x1"
     complete_nodeset="0x1" gp_index="3" local_memory="1073741824"/>
   <object type="PU" os_index="0" cpuset="0x1" complete_cpuset="0x1" nodeset="0x1"
     complete_nodeset="0x1" gp_index="4"/>
  </object>
  <object type="Package" os_index="1" cpuset="0x2" complete_cpuset="0x2" nodeset="0x2"
    complete_nodeset="0x2" gp_index="5">
   <object type="NUMANode" os_index="1" cpuset="0x2" complete_cpuset="0x2" nodeset="0x2"
     complete_nodeset="0x2" gp_index="6" local_memory="1073741824"/>
   <object type="PU" os_index="1" cpuset="0x2" complete_cpuset="0x2" nodeset="0x2"
     complete_nodeset="0x2" gp_index="7"/>
   <object type="Bridge" gp_index="8" bridge_type="0-1" depth="0" bridge_pci="0000:[00-01]">
    <object type="PCIDev" gp_index="9" pci_busid="0000:01:00.0"
      pci_type="0200 [15b3:1017] [15b3:0006] 00" pci_link_speed="15.753846">
     <object type="OSDev" gp_index="10" name="eth7" osdev_type="2"/>
     <object type="OSDev" gp_index="11" name="mlx5_0" osdev_type="3"/>
    </object>
   </object>
  </object>
  <object type="OSDev" gp_index="12" name="veth0" osdev_type="2"/>
 </object>
</topology>
)";

TEST(TopologyTest, NicsCarryTheirNumaNodeAndKind) {
  const Result<Topology> topology = read_topology_xml(kMachineWithNics);
  ASSERT_TRUE(topology.ok()) << topology.status().message();
  ASSERT_EQ(topology->nics.size(), 2u);
  EXPECT_EQ(topology->nics[0].name, "eth7");
  EXPECT_FALSE(topology->nics[0].is_rdma);
  EXPECT_EQ(topology->nics[1].name, "mlx5_0");
  EXPECT_TRUE(topology->nics[1].is_rdma);
  EXPECT_EQ(topology->nics[0].numa_node, 1u);
  EXPECT_EQ(topology->nics[1].numa_node, 1u);
}

}  // namespace
}  // namespace phub::config
