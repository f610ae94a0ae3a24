// Goal: what keeps RDMA or DPDK from working is named with its exact way out, and a machine without
// either hears nothing of them.
// Method: a made-up machine that is fit for both; one fact at a time is spoiled.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "phub/doctor/checks.h"
#include "tests/phub/doctor/fit_devices.h"

namespace phub::doctor {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Facts fit_machine() {
  Facts facts;
  facts.memory_bytes = uint64_t{64} << 30;
  facts.locked_memory_bytes = Limit{kUnlimited, kUnlimited};
  facts.devices = fit_devices();
  return facts;
}

// "problem: SEEN => FIX"
std::string text_of(const Finding& finding) {
  return std::string(to_string(finding.verdict)) + ": " + finding.seen + " => " + finding.fix;
}

TEST(DeviceChecksTest, AMachineThatIsFitForBothHasNothingToMend) {
  for (const Check check : kDeviceChecks) {
    const Finding finding = check(fit_machine());
    EXPECT_EQ(finding.verdict, Verdict::ok) << finding.name << " " << text_of(finding);
    EXPECT_EQ(finding.fix, "") << finding.name;
  }
}

TEST(DeviceChecksTest, AMachineWithoutDevicesIsNotAskedForThem) {
  Facts facts;
  for (const Check check : kDeviceChecks) {
    EXPECT_EQ(check(facts).verdict, Verdict::skipped) << check(facts).name;
  }
}

TEST(DeviceChecksTest, TheLibraryIsWantedWhereThereAreDevices) {
  Facts facts = fit_machine();
  facts.devices.verbs_library = "libibverbs.so.1: cannot open shared object file";
  EXPECT_THAT(text_of(check_verbs_library(facts)), AllOf(HasSubstr("problem: libibverbs.so.1"),
                                                         HasSubstr("apt-get install libibverbs1")));
}

TEST(DeviceChecksTest, PortsThatAreDownSayWhatBringsThemUp) {
  Facts facts = fit_machine();
  facts.devices.rdma_ports[0].state = "DOWN";
  EXPECT_EQ(text_of(check_rdma_ports(facts)),
            "warning: mlx5_0:1 RoCE at eth0 DOWN, mlx5_1:1 InfiniBand at ib0 ACTIVE => ip link set "
            "dev eth0 up; look at cable and switch port");
  facts.devices.rdma_ports[1].state = "INIT";
  EXPECT_THAT(text_of(check_rdma_ports(facts)),
              AllOf(HasSubstr("problem: "), HasSubstr("start a subnet manager")));
}

TEST(DeviceChecksTest, TheAddressThatWouldBeTakenIsNamedWithTheReason) {
  Facts facts = fit_machine();
  EXPECT_THAT(check_rdma_gids(facts).seen, HasSubstr("mlx5_0:1 takes index 3, 10.1.0.7: RoCE v2"));
  facts.devices.rdma_ports[0].gids = {kLinkLocal};
  EXPECT_THAT(text_of(check_rdma_gids(facts)),
              AllOf(HasSubstr("warning: "), HasSubstr("link-local crosses no router"),
                    HasSubstr("ip address add 10.1.0.7/24 dev eth0")));
  facts.devices.rdma_ports[0].gids = {gid(0, {}, {0xff, 0xff, 10, 1, 0, 7}, false)};
  EXPECT_THAT(text_of(check_rdma_gids(facts)),
              AllOf(HasSubstr("warning: "), HasSubstr("cma_roce_mode -d mlx5_0 -p 1 -m 2")));
  facts.devices.rdma_ports[0].gids = {};
  EXPECT_THAT(text_of(check_rdma_gids(facts)), HasSubstr("problem: mlx5_0:1: no address fits"));
  facts = fit_machine();
  facts.devices.rdma_gid = "fd00::/8";
  EXPECT_THAT(text_of(check_rdma_gids(facts)),
              AllOf(HasSubstr("problem: "), HasSubstr("or another rdma_gid")));
}

TEST(DeviceChecksTest, SmallFramesOfAnInterfaceAreSmallFramesOfRdma) {
  Facts facts = fit_machine();
  facts.devices.rdma_ports[0].interface_mtu = 1500;
  EXPECT_EQ(text_of(check_rdma_mtu(facts)),
            "warning: mlx5_0:1 1024 (eth0 has 1500): RDMA could use 4096 => ip link set dev eth0 "
            "mtu 9000 (on every machine and switch of the network)");
  facts.devices.rdma_ports[0].interface_mtu = 4192;
  EXPECT_EQ(check_rdma_mtu(facts).verdict, Verdict::ok);
}

TEST(DeviceChecksTest, DeviceFilesThatCannotBeOpenedAreAProblem) {
  Facts facts = fit_machine();
  facts.devices.verbs_files[0].is_open = false;
  EXPECT_THAT(text_of(check_verbs_files(facts)),
              AllOf(HasSubstr("problem: /dev/infiniband/uverbs0 of mlx5_0 is not allowed"),
                    HasSubstr("chmod 0666 /dev/infiniband/uverbs0")));
  facts.devices.verbs_files[0].exists = false;
  EXPECT_THAT(text_of(check_verbs_files(facts)),
              AllOf(HasSubstr("is not there"), HasSubstr("docker run --device=/dev/infiniband")));
  facts.devices.verbs_files.clear();
  EXPECT_THAT(text_of(check_verbs_files(facts)), HasSubstr("=> modprobe ib_uverbs"));
}

TEST(DeviceChecksTest, ASocketWithoutNicsIsFarFromThem) {
  Facts facts = fit_machine();
  facts.devices.rdma_ports[1].numa_node = 0;
  EXPECT_THAT(text_of(check_nic_distance(facts)),
              AllOf(HasSubstr("warning: "), HasSubstr("shards on node 1 (distance 21)"),
                    HasSubstr("numactl --cpunodebind=0 --membind=0 phubd")));
}

TEST(DeviceChecksTest, MemoryThatMayNotBeLockedIsAProblemOnlyOverRdma) {
  Facts facts = fit_machine();
  facts.locked_memory_bytes = Limit{8 << 20, 8 << 20};
  EXPECT_THAT(
      text_of(check_locked_memory(facts)),
      AllOf(HasSubstr("problem: 8 MiB"), HasSubstr("up to 32 GiB"), HasSubstr("ulimit -l")));
  facts.locked_memory_bytes = Limit{uint64_t{1} << 30, uint64_t{1} << 30};
  EXPECT_EQ(check_locked_memory(facts).verdict, Verdict::warning);
  facts.devices.rdma_ports.clear();
  EXPECT_EQ(check_locked_memory(facts).verdict, Verdict::ok);
}

TEST(DeviceChecksTest, HugePagesAreWantedFreeMountedAndOnEveryNode) {
  Facts facts = fit_machine();
  facts.devices.huge_page_pools[0] = {2 << 20, 512, 0, {512, 0}};
  facts.devices.huge_page_mounts.clear();
  EXPECT_THAT(
      text_of(check_reserved_huge_pages(facts)),
      AllOf(
          HasSubstr("warning: 0 of 512 pages of 2 MiB free, none on NUMA node 1, mounted nowhere"),
          HasSubstr("node1/hugepages/hugepages-2048kB/nr_hugepages"),
          HasSubstr("sysctl -w vm.nr_hugepages=1024"), HasSubstr("mount -t hugetlbfs")));
  facts.devices.huge_page_pools.clear();
  EXPECT_THAT(text_of(check_reserved_huge_pages(facts)),
              AllOf(HasSubstr("problem: none"), HasSubstr("--dpdk-eal=--no-huge")));
}

TEST(DeviceChecksTest, DriversOfNicsAreNamedAndUnsafeOnesMended) {
  Facts facts = fit_machine();
  EXPECT_EQ(check_nic_drivers(facts).seen, "0000:3b:00.0 mlx5_core (eth0), 0000:5e:00.0 vfio-pci");
  facts.devices.pci_nics[1].driver = "uio_pci_generic";
  EXPECT_THAT(text_of(check_nic_drivers(facts)),
              AllOf(HasSubstr("warning: "), HasSubstr("reaches all of memory"),
                    HasSubstr("dpdk-devbind.py --bind=vfio-pci 0000:5e:00.0")));
  facts.devices.pci_nics[1].driver = "";
  EXPECT_THAT(text_of(check_nic_drivers(facts)), HasSubstr("0000:5e:00.0 no driver"));
}

TEST(DeviceChecksTest, VfioWantsAnIommuAndItsFiles) {
  Facts facts = fit_machine();
  facts.devices.has_iommu = false;
  EXPECT_THAT(text_of(check_vfio(facts)),
              AllOf(HasSubstr("problem: no IOMMU, without which"), HasSubstr("intel_iommu=on")));
  facts.devices.allows_vfio_without_iommu = true;
  EXPECT_EQ(check_vfio(facts).verdict, Verdict::warning);
  facts = fit_machine();
  facts.devices.vfio_files[1].is_open = false;
  EXPECT_THAT(text_of(check_vfio(facts)), AllOf(HasSubstr("problem: the IOMMU is on, /dev/vfio/42 "
                                                          "is not allowed"),
                                                HasSubstr("chown HUB_USER /dev/vfio/42")));
}

}  // namespace
}  // namespace phub::doctor
