// Goal: options come from the environment as documented, and what is wrong is refused by name.
// Method: a clean environment for each test, with the variables it sets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <phub/worker.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>

namespace phub {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

using Variables = std::map<std::string, std::string>;

Result<WorkerOptions> read(const Variables& variables) {
  for (const char* name : {"PHUB_HUB",
                           "PHUB_JOB",
                           "PHUB_SECRET",
                           "PHUB_SECRET_FILE",
                           "PHUB_RANK",
                           "PHUB_SIZE",
                           "PHUB_PROGRESS",
                           "PHUB_CHUNK_ELEMENTS",
                           "PHUB_JOIN_TIMEOUT_MS",
                           "PHUB_WAIT_TIMEOUT_MS",
                           "PHUB_TLS_CA",
                           "PHUB_TLS_CERT",
                           "PHUB_TLS_KEY",
                           "PHUB_RDMA_DEVICES",
                           "PHUB_RDMA_MTU",
                           "PHUB_DPDK_MTU",
                           "OMPI_COMM_WORLD_RANK",
                           "OMPI_COMM_WORLD_SIZE",
                           "SLURM_PROCID",
                           "SLURM_NTASKS",
                           "RANK",
                           "WORLD_SIZE",
                           "DMLC_WORKER_ID",
                           "DMLC_RANK",
                           "DMLC_NUM_WORKER"}) {
    ::unsetenv(name);
  }
  for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
  return WorkerOptions::from_environment();
}

TEST(EnvironmentTest, WithoutVariablesTheDefaultsHold) {
  const auto options = read({});
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_EQ(options->hub, "shm:///tmp/phub.sock");
  EXPECT_EQ(options->job.name, "default");
  EXPECT_EQ(options->job.rank_count, 0u);
  EXPECT_EQ(options->progress, Progress::automatic);
}

TEST(EnvironmentTest, HubsMayHaveSpacesBetweenAndAreRefusedInAWorkersWords) {
  EXPECT_TRUE(read({{"PHUB_HUB", "tcp://hub0:7077, hub1:7077"}}).ok());
  EXPECT_THAT(read({{"PHUB_HUB", "hub0:7077, hub1"}}).status().message(),
              HasSubstr("\"hub1\" has no port; want shm://PATH, tcp://HOST:PORT"));
  EXPECT_THAT(read({{"PHUB_HUB", "tcp://hub0"}}).status().message(),
              HasSubstr("has no port; want tcp://HOST:PORT, for example tcp://hub:7077"));
}

TEST(EnvironmentTest, OptionsOfDevicesAreReadByTheNamesThatHubsUse) {
  const auto options = read({{"PHUB_RDMA_DEVICES", "mlx5_0"}, {"PHUB_DPDK_MTU", "device"}});
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_THAT(options->network,
              ElementsAre(Pair("dpdk_mtu", "device"), Pair("rdma_devices", "mlx5_0")));
  EXPECT_THAT(read({{"PHUB_RDMA_MTU", "1500"}}).status().message(),
              HasSubstr("environment variable PHUB_RDMA_MTU = 1500 is no MTU of RDMA"));
}

TEST(EnvironmentTest, EveryVariableOfPHubIsRead) {
  const auto options = read({{"PHUB_HUB", "shm:///run/hub.sock"},
                             {"PHUB_JOB", "resnet"},
                             {"PHUB_SECRET", "s3cret"},
                             {"PHUB_RANK", "3"},
                             {"PHUB_SIZE", "8"},
                             {"PHUB_PROGRESS", "thread"},
                             {"PHUB_TLS_CA", "/ca.pem"},
                             {"PHUB_TLS_CERT", "/worker.pem"},
                             {"PHUB_TLS_KEY", "/worker.key"},
                             {"PHUB_CHUNK_ELEMENTS", "16384"},
                             {"PHUB_JOIN_TIMEOUT_MS", "1500"},
                             {"PHUB_WAIT_TIMEOUT_MS", "2500"}});
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_EQ(options->hub, "shm:///run/hub.sock");
  EXPECT_EQ(options->job.name, "resnet");
  EXPECT_EQ(options->job.secret, "s3cret");
  EXPECT_EQ(options->rank, Rank{3});
  EXPECT_EQ(options->job.rank_count, 8u);
  EXPECT_EQ(options->progress, Progress::thread);
  EXPECT_EQ(options->tls_ca, "/ca.pem");
  EXPECT_EQ(options->tls_cert, "/worker.pem");
  EXPECT_EQ(options->tls_key, "/worker.key");
  EXPECT_EQ(options->job.chunk_elements, 16384u);
  EXPECT_EQ(options->join_timeout.count(), 1500);
  EXPECT_EQ(options->wait_timeout.count(), 2500);
}

TEST(EnvironmentTest, RankAndSizeComeFromEachLauncher) {
  for (const auto& [rank, size] :
       std::map<std::string, std::string>{{"PHUB_RANK", "PHUB_SIZE"},
                                          {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                          {"SLURM_PROCID", "SLURM_NTASKS"},
                                          {"RANK", "WORLD_SIZE"},
                                          {"DMLC_WORKER_ID", "DMLC_NUM_WORKER"},
                                          {"DMLC_RANK", "DMLC_NUM_WORKER"}}) {
    const auto options = read({{rank, "1"}, {size, "4"}});
    ASSERT_TRUE(options.ok()) << options.status().message();
    EXPECT_EQ(options->rank, Rank{1}) << rank;
    EXPECT_EQ(options->job.rank_count, 4u) << size;
  }
}

TEST(EnvironmentTest, LaunchersArePreferredInTheDocumentedOrder) {
  Variables variables = {{"PHUB_RANK", "0"},
                         {"PHUB_SIZE", "10"},
                         {"OMPI_COMM_WORLD_RANK", "1"},
                         {"OMPI_COMM_WORLD_SIZE", "11"},
                         {"RANK", "2"},
                         {"WORLD_SIZE", "12"},
                         {"SLURM_PROCID", "3"},
                         {"SLURM_NTASKS", "13"},
                         {"DMLC_WORKER_ID", "4"},
                         {"DMLC_NUM_WORKER", "14"}};
  uint16_t expected = 0;
  for (const char* name : {"PHUB", "OMPI", "RANK", "SLURM", "DMLC"}) {
    const auto options = read(variables);
    ASSERT_TRUE(options.ok()) << options.status().message();
    EXPECT_EQ(options->rank, Rank{expected}) << name;
    EXPECT_EQ(options->job.rank_count, 10u + expected);
    ++expected;
    std::erase_if(variables, [&](const auto& entry) { return entry.first.starts_with(name); });
    variables.erase(name == std::string("RANK") ? "WORLD_SIZE" : "");
  }
}

TEST(EnvironmentTest, HalfOfRankAndSizeIsRefusedByName) {
  const auto rank = read({{"PHUB_RANK", "1"}});
  EXPECT_EQ(rank.status().code(), Code::invalid_argument);
  EXPECT_THAT(rank.status().message(), HasSubstr("PHUB_RANK is set but PHUB_SIZE is not"));
  const auto size = read({{"WORLD_SIZE", "4"}});
  EXPECT_THAT(size.status().message(), HasSubstr("WORLD_SIZE is set but RANK is not"));
}

TEST(EnvironmentTest, HalfOfOneLauncherDoesNotHideAnother) {
  const auto slurm = read({{"WORLD_SIZE", "4"}, {"SLURM_PROCID", "2"}, {"SLURM_NTASKS", "4"}});
  ASSERT_TRUE(slurm.ok()) << slurm.status().message();
  EXPECT_EQ(slurm->rank, Rank{2});
  const auto own = read({{"PHUB_SIZE", "4"}, {"SLURM_PROCID", "2"}, {"SLURM_NTASKS", "4"}});
  EXPECT_THAT(own.status().message(), HasSubstr("PHUB_SIZE is set but PHUB_RANK is not"));
}

TEST(EnvironmentTest, WhatTorchrunStartsInAStepOfSlurmHasTheRanksOfTorchrun) {
  const auto options = read({{"SLURM_PROCID", "1"},
                             {"SLURM_NTASKS", "2"},
                             {"RANK", "5"},
                             {"WORLD_SIZE", "8"},
                             {"LOCAL_RANK", "1"},
                             {"MASTER_ADDR", "node0"}});
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_EQ(options->rank, Rank{5});
  EXPECT_EQ(options->job.rank_count, 8u);
}

TEST(EnvironmentTest, MalformedValuesAreRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {"PHUB_HUB", "10.0.0.7"},
      {"PHUB_HUB", ""},
      {"PHUB_HUB", "auto://10.0.0.7"},
      {"PHUB_HUB", "10.0.0.7:0"},
      {"PHUB_JOB", ""},
      {"PHUB_PROGRESS", "sometimes"},
      {"PHUB_CHUNK_ELEMENTS", "100"},
      {"PHUB_CHUNK_ELEMENTS", "63"},
      {"PHUB_CHUNK_ELEMENTS", "8192x"},
      {"PHUB_JOIN_TIMEOUT_MS", "0"},
      {"PHUB_JOIN_TIMEOUT_MS", "-5"},
      {"PHUB_WAIT_TIMEOUT_MS", "1e3"},
      {"PHUB_WAIT_TIMEOUT_MS", ""},
      {"PHUB_SECRET_FILE", "/nonexistent/secret"},
  };
  for (const auto& [name, value] : cases) {
    const auto options = read({{name, value}});
    EXPECT_EQ(options.status().code(), Code::invalid_argument) << name << "=" << value;
    EXPECT_THAT(options.status().message(), HasSubstr(name));
  }
  EXPECT_THAT(read({{"PHUB_RANK", "4"}, {"PHUB_SIZE", "4"}}).status().message(),
              HasSubstr("PHUB_RANK is \"4\"; want a whole number from 0 to 3"));
  EXPECT_THAT(read({{"PHUB_RANK", "0"}, {"PHUB_SIZE", "2000"}}).status().message(),
              HasSubstr("PHUB_SIZE"));
}

TEST(EnvironmentTest, ASecretFileIsReadWithoutItsLastLineBreak) {
  const std::string path = testing::TempDir() + "phub_environment_test_secret";
  std::ofstream(path) << "from a file\n";
  const auto options = read({{"PHUB_SECRET_FILE", path}});
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_EQ(options->job.secret, "from a file");
  const auto both = read({{"PHUB_SECRET_FILE", path}, {"PHUB_SECRET", "x"}});
  EXPECT_EQ(both.status().code(), Code::invalid_argument);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace phub
