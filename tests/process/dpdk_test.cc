// Goal: with dpdk:// a job runs from end to end between real processes, over queue pairs of memif,
// and what an operator has not set up is said with the way out. Method: phubd with one memif device
// for each worker; workers that check every sum and get their devices from the environment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/process/child.h"

namespace phub::process {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

class DpdkProcessTest : public testing::Test {
 protected:
  DpdkProcessTest() {
    std::string name = "/tmp/phub-dpdk-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~DpdkProcessTest() override {
    ::unsetenv("PHUB_DPDK_EAL");
    std::filesystem::remove_all(folder_);
  }
  std::string memif(uint32_t number, const std::string& role, uint32_t id) const {
    return " --vdev=net_memif" + std::to_string(number) + ",role=" + role +
           ",id=" + std::to_string(id) +
           ",socket-abstract=no,bsize=9216,rsize=9,socket=" + folder_ + "/memif.sock";
  }
  // stderr and stdout; as `user` if one is named.
  Child start_hub(const std::string& eal, uint32_t shards, const std::string& user = "") const {
    std::vector<std::string> argv = {"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&1"};
    if (!user.empty()) {
      argv.insert(argv.end(), {"/usr/bin/setpriv", "--reuid=" + user, "--clear-groups", "--"});
    }
    argv.insert(argv.end(), {PHUB_TEST_PHUBD, "--listen", "dpdk://127.0.0.1:0", "--http", "off",
                             "--shards", std::to_string(shards), "--dpdk-eal", eal});
    return Child(argv);
  }
  static std::string address_of(Child& hub) {
    const std::string ready = hub.wait_line("phubd ", seconds(60)).value_or("nothing");
    const size_t begin = ready.find("dpdk://");
    if (begin == ready.npos) ADD_FAILURE() << ready;
    return begin == ready.npos ? "" : ready.substr(begin, ready.find_first_of(", ", begin) - begin);
  }
  Child start_worker(const std::string& address, uint32_t rank, const std::string& eal) const {
    ::setenv("PHUB_DPDK_EAL", eal.c_str(), 1);
    return Child({PHUB_TEST_WORKER, address, "polled", std::to_string(rank), "2"});
  }

  // A job of two ranks sums a hundred rounds exactly.
  void run_job(uint32_t shards, const std::string& user = "") {
    Child hub = start_hub("--no-huge --no-pci" + memif(0, "server", 0) + memif(1, "server", 1),
                          shards, user);
    const std::string address = address_of(hub);
    std::vector<Child> workers;
    for (uint32_t rank = 0; rank < 2; ++rank) {
      workers.push_back(
          start_worker(address, rank, "--no-huge --no-pci" + memif(0, "client", rank)));
    }
    for (Child& worker : workers) {
      EXPECT_EQ(worker.wait_line("round 100", seconds(60)).value_or("none"), "round 100");
    }
  }
  std::string folder_;
};

TEST_F(DpdkProcessTest, AJobSumsExactlyOverMemif) { run_job(1); }

TEST_F(DpdkProcessTest, EveryShardHasItsQueuePair) { run_job(2); }

TEST_F(DpdkProcessTest, AnUnprivilegedHubNeedsNoHugepages) {
  if (::geteuid() != 0) GTEST_SKIP() << "because only root can become somebody else";
  if (::access("/usr/bin/setpriv", X_OK) != 0) GTEST_SKIP() << "because there is no setpriv";
  const std::filesystem::path phubd(PHUB_TEST_PHUBD);
  if (::system(("/usr/bin/setpriv --reuid=65534 --clear-groups test -x " + phubd.string()).c_str()))
    GTEST_SKIP() << "because nobody cannot run " << phubd;
  ::setenv("XDG_RUNTIME_DIR", folder_.c_str(), 1);  // Where DPDK puts what root has in /var/run.
  std::filesystem::permissions(folder_, std::filesystem::perms::all);
  run_job(1, "65534");
  ::unsetenv("XDG_RUNTIME_DIR");
}

TEST_F(DpdkProcessTest, MissingHugepagesAreSaidWithTheCommandsThatHelp) {
  std::ifstream file("/proc/sys/vm/nr_hugepages");
  int count = 0;
  file >> count;
  if (count != 0) GTEST_SKIP() << "because this machine has hugepages";
  Child hub = start_hub("--no-pci", 1);
  EXPECT_THAT(hub.wait_line("", seconds(20)).value_or("none"),
              AllOf(HasSubstr("no hugepage is free"), HasSubstr("/proc/sys/vm/nr_hugepages"),
                    HasSubstr("--no-huge")));
  EXPECT_TRUE(hub.wait_exit(seconds(20)).has_value());
}

TEST_F(DpdkProcessTest, NoDeviceIsSaidAsSuch) {
  Child hub = start_hub("--no-huge --no-pci", 1);
  EXPECT_THAT(hub.wait_line("", seconds(20)).value_or("none"),
              AllOf(HasSubstr("DPDK finds no device"), HasSubstr("--vdev")));
}

}  // namespace
}  // namespace phub::process
