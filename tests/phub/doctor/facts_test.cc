// Goal: facts are read right from the files of real kernels, and missing or odd files are absent
// facts, never wrong ones.
// Method: made-up /proc and /sys trees; one look at the machine that runs the test.
#include "phub/doctor/facts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace phub::doctor {
namespace {

class FactsTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "phub-facts-" + std::to_string(::getpid());
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  Facts read() {
    Facts facts;
    read_files(root_, facts);
    return facts;
  }
  std::string root_;
};

TEST_F(FactsTest, FilesOfAKernelBecomeNumbers) {
  write("/proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max open files            1024                 524288               files     \n"
        "Max locked memory         8388608              unlimited            bytes     \n");
  write("/proc/meminfo", "MemTotal:       24680428 kB\nMemAvailable:   23833472 kB\n");
  write("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  write("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
        "always within_size advise [never] deny force\n");
  write("/proc/sys/vm/nr_hugepages", "512\n");
  write("/sys/devices/system/cpu/isolated", "2-3\n");
  write("/sys/devices/system/cpu/smt/active", "1\n");
  write("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
  write("/sys/devices/system/node/online", "0-1,3\n");
  write("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
  write("/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n");
  write("/proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n");
  write("/proc/sys/net/ipv4/tcp_available_ulp", "mptcp tls\n");
  write("/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
  const Facts facts = read();
  EXPECT_EQ(facts.open_files->soft, 1024u);
  EXPECT_EQ(facts.open_files->hard, 524'288u);
  EXPECT_EQ(facts.locked_memory_bytes->soft, 8'388'608u);
  EXPECT_EQ(facts.locked_memory_bytes->hard, kUnlimited);
  EXPECT_EQ(facts.memory_bytes, uint64_t{24'680'428} * 1024);
  EXPECT_EQ(facts.memory_available_bytes, uint64_t{23'833'472} * 1024);
  EXPECT_EQ(facts.huge_pages, "madvise");
  EXPECT_EQ(facts.shared_huge_pages, "never");
  EXPECT_EQ(facts.reserved_huge_pages, 512u);
  EXPECT_EQ(facts.isolated_cores, "2-3");
  EXPECT_EQ(facts.has_smt, true);
  EXPECT_EQ(facts.governor, "powersave");
  EXPECT_EQ(facts.numa_nodes, 3u);
  EXPECT_EQ(facts.clock_source, "hpet");
  EXPECT_EQ(facts.tcp_receive_bytes_max, 6'291'456u);
  EXPECT_EQ(facts.tcp_send_bytes_max, 4'194'304u);
  EXPECT_TRUE(facts.kernel_tls->works);
  EXPECT_EQ(facts.kernel, "6.1.0-18-amd64");
}

TEST_F(FactsTest, AnEmptyTreeIsAbsentFacts) {
  const Facts facts = read();
  EXPECT_FALSE(facts.open_files.has_value());
  EXPECT_FALSE(facts.memory_bytes.has_value());
  EXPECT_FALSE(facts.cgroup_memory_bytes.has_value());
  EXPECT_FALSE(facts.cgroup_cpus.has_value());
  EXPECT_FALSE(facts.has_smt.has_value());
  EXPECT_FALSE(facts.kernel_tls.has_value());
  EXPECT_EQ(facts.huge_pages, "");
  EXPECT_EQ(facts.numa_nodes, 1u);
}

TEST_F(FactsTest, OddFilesAreAbsentFacts) {
  write("/proc/self/limits", "Max open files            many                 more   files\n");
  write("/proc/meminfo", "MemTotal: lots kB\n");
  write("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise never\n");
  write("/proc/sys/net/ipv4/tcp_rmem", "4096\n");
  const Facts facts = read();
  EXPECT_FALSE(facts.open_files.has_value());
  EXPECT_FALSE(facts.memory_bytes.has_value());
  EXPECT_FALSE(facts.tcp_receive_bytes_max.has_value());
  EXPECT_EQ(facts.huge_pages, "");
}

TEST_F(FactsTest, TheTightestGroupAboveCountsInVersion2) {
  write("/proc/self/cgroup", "0::/slice/unit\n");
  write("/sys/fs/cgroup/slice/memory.max", "4294967296\n");
  write("/sys/fs/cgroup/slice/unit/memory.max", "max\n");
  write("/sys/fs/cgroup/slice/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/slice/unit/cpu.max", "250000 100000\n");
  EXPECT_EQ(read().cgroup_memory_bytes, uint64_t{4} << 30);
  EXPECT_EQ(read().cgroup_cpus, 2.5);
}

TEST_F(FactsTest, Version1HasATreeForEachController) {
  write("/proc/self/cgroup",
        "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n0::/\n");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "1073741824\n");
  write("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "150000\n");
  write("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(read().cgroup_memory_bytes, uint64_t{1} << 30);
  EXPECT_EQ(read().cgroup_cpus, 1.5);
}

TEST_F(FactsTest, ThisMachineTellsWhatEveryMachineHas) {
  Facts facts;
  read_files("", facts);
  try_machine(facts);
  EXPECT_TRUE(facts.open_files.has_value());
  EXPECT_GT(facts.memory_bytes.value_or(0), uint64_t{64} << 20);
  EXPECT_GE(facts.allowed_cores, 1u);
  EXPECT_FALSE(facts.kernel.empty());
  EXPECT_FALSE(facts.isa.empty());
  EXPECT_GT(facts.clock_read_ns.value_or(0), 0);
  ASSERT_TRUE(facts.sealed_memfd.has_value());
  EXPECT_TRUE(facts.sealed_memfd->works) << facts.sealed_memfd->reason;
  const bool has_loopback = std::any_of(facts.interfaces.begin(), facts.interfaces.end(),
                                        [](const Interface& one) { return one.is_loopback; });
  EXPECT_TRUE(has_loopback);
}

}  // namespace
}  // namespace phub::doctor
