// Goal: options of RDMA and DPDK mean the same to hubs and workers, and a wrong one is a sentence
// with the reason.
// Method: tables of texts, by their names as WorkerOptions::network has them.
#include "config/device_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace phub::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string error_of(const std::string& name, const std::string& value) {
  const Result<DeviceOptions> options = parse_device_options({{name, value}});
  return options.ok() ? "no error" : options.status().message();
}

TEST(DeviceOptionsTest, EveryOptionReachesItsField) {
  const Result<DeviceOptions> options =
      parse_device_options({{"rdma_devices", "mlx5_0, mlx5_1:2"},
                            {"rdma_gid", "fd00::/8"},
                            {"rdma_mtu", "2048"},
                            {"rdma_traffic_class", "104"},
                            {"rdma_service_level", "3"},
                            {"rdma_pkey_index", "1"},
                            {"rdma_timeout", "16"},
                            {"rdma_retries", "7"},
                            {"rdma_queue_depth", "512"},
                            {"rdma_queue_pairs", "4"},
                            {"dpdk_eal", "--no-huge  --vdev=net_memif0,role=client"},
                            {"dpdk_devices", "net_memif0,0000:3b:00.0"},
                            {"dpdk_addresses", "fd00::1"},
                            {"dpdk_udp_port", "9000"},
                            {"dpdk_mtu", "9000"}});
  ASSERT_TRUE(options.ok()) << options.status().message();
  const RdmaOptions& rdma = options->rdma;
  EXPECT_THAT(rdma.devices, ElementsAre("mlx5_0", "mlx5_1:2"));
  EXPECT_EQ(rdma.gid, "fd00::/8");
  EXPECT_EQ(rdma.mtu, 2048u);
  EXPECT_EQ(rdma.traffic_class, 104);
  EXPECT_EQ(rdma.service_level, 3);
  EXPECT_EQ(rdma.pkey_index, 1);
  EXPECT_EQ(rdma.timeout, 16);
  EXPECT_EQ(rdma.retries, 7);
  EXPECT_EQ(rdma.queue_depth, 512u);
  EXPECT_EQ(rdma.queue_pairs, 4u);
  const DpdkOptions& dpdk = options->dpdk;
  EXPECT_THAT(dpdk.eal, ElementsAre("--no-huge", "--vdev=net_memif0,role=client"));
  EXPECT_THAT(dpdk.devices, ElementsAre("net_memif0", "0000:3b:00.0"));
  EXPECT_THAT(dpdk.addresses, ElementsAre("fd00::1"));
  EXPECT_EQ(dpdk.udp_port, 9000);
  EXPECT_EQ(dpdk.mtu, 9000u);
}

// Whoever writes a number's default gets what whoever writes nothing gets.
TEST(DeviceOptionsTest, TheDefaultsThatTheTableNamesAreThoseOfTheFields) {
  for (const DeviceOption& option : device_options()) {
    const bool is_number = option.fallback.front() >= '0' && option.fallback.front() <= '9';
    if (!is_number) continue;  // A word: "all".
    DeviceOptions options;
    EXPECT_TRUE(option.apply(option.fallback, options).ok()) << option.name;
    EXPECT_EQ(options, DeviceOptions()) << option.name;
  }
  for (const DeviceOption& option : device_options()) {
    EXPECT_EQ(error_of(std::string(option.name), std::string(option.fallback)), "no error");
  }
}

TEST(DeviceOptionsTest, WrongValuesAreRefusedWithAReason) {
  const struct {
    const char* name;
    const char* value;
    const char* message;  // A part of it.
  } cases[] = {
      {"rdma_devices", "mlx5_0,", "has the entry \"\""},
      {"rdma_devices", "mlx5_0:0", "has the entry \"mlx5_0:0\""},
      {"rdma_devices", "../mem", "perhaps with a port: mlx5_0, mlx5_0:2"},
      {"rdma_devices", "mlx5_0,mlx5_0", "names mlx5_0 twice"},
      {"rdma_gid", "roce", "an index from 0 to 255"},
      {"rdma_gid", "10.1.0.7", "a block of addresses such as 10.1.0.0/16"},
      {"rdma_mtu", "1500", "want 256, 512, 1024, 2048, 4096, or port"},
      {"rdma_traffic_class", "256", "0 to 255"},
      {"rdma_service_level", "16", "0 to 15"},
      {"rdma_pkey_index", "65536", "0 to 65535"},
      {"rdma_timeout", "0", "rdma_timeout = 0 is"},
      {"rdma_retries", "8", "1 to 7"},
      {"rdma_queue_depth", "8", "16 to 32768"},
      {"rdma_queue_pairs", "17", "1 to 16"},
      {"dpdk_eal", " ", "has no argument"},
      {"dpdk_eal", "testpmd --no-huge", "does not begin with an option"},
      {"dpdk_devices", "net memif", "has the entry \"net memif\""},
      {"dpdk_addresses", "10.7.0.0/16", "has the entry \"10.7.0.0/16\""},
      {"dpdk_udp_port", "0", "1 to 65535"},
      {"dpdk_mtu", "576", "1280 to 65535"},
      {"rdma_mtus", "1024", "there are rdma_devices, "},
  };
  for (const auto& one : cases) {
    EXPECT_THAT(error_of(one.name, one.value), HasSubstr(one.message)) << one.name;
  }
  EXPECT_THAT(error_of("dpdk_addresses", "10.7.0.1,10.8.0.1"),
              HasSubstr("has 2 entries, but all DPDK devices of a process are reached at one"));
  EXPECT_TRUE(parse_device_options({{"dpdk_devices", "a,b"}, {"dpdk_addresses", "10.7.0.1"}}).ok());
}

TEST(DeviceOptionsTest, TheManualOfEachNetworkHasEveryOptionWithItsDefault) {
  for (const DeviceOption& option : device_options()) {
    const bool is_rdma = option.name.starts_with("rdma_");
    std::ostringstream manual;
    manual << std::ifstream(std::string(PHUB_DOCS) + (is_rdma ? "/rdma.md" : "/dpdk.md")).rdbuf();
    const std::string fallback =
        option.fallback == "none" ? "none" : "`" + std::string(option.fallback) + "`";
    EXPECT_THAT(manual.str(),
                HasSubstr("\n| `" + std::string(option.name) + "` | " + fallback + " | "));
  }
}

TEST(DeviceOptionsTest, WorkersReadTheSameNamesInCapitals) {
  EXPECT_EQ(worker_variable(*find_device_option("rdma_queue_pairs")), "PHUB_RDMA_QUEUE_PAIRS");
}

}  // namespace
}  // namespace phub::config
