// Goal: a configuration that is read again changes exactly what can change in a running hub, names
// what needs a restart, and changes nothing when it does not fit.
// Method: two command lines against each other, on a described machine.
#include "config/hub_reload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "config/hub_options.h"

namespace phub::config {
namespace {

using testing::HasSubstr;

constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr Machine kMachine{16, 64 * kGiB};

HubCommand parse(const std::vector<std::string>& arguments) {
  Result<HubCommand> command = parse_hub_command(arguments, {}, kMachine);
  EXPECT_TRUE(command.ok()) << command.status().message();
  return std::move(command).value();
}

// A value of each option that is not its default.
std::map<std::string, std::string> other_values(const std::string& token_file) {
  return {{"listen", "tcp://127.0.0.1:1"},
          {"advertise", "10.0.0.9"},
          {"port_range", "7100-7163"},
          {"tcp_streams", "4"},
          {"rdma_devices", "mlx5_0"},
          {"rdma_gid", "3"},
          {"rdma_mtu", "1024"},
          {"rdma_traffic_class", "104"},
          {"rdma_service_level", "3"},
          {"rdma_pkey_index", "1"},
          {"rdma_timeout", "16"},
          {"rdma_retries", "7"},
          {"rdma_queue_depth", "512"},
          {"rdma_queue_pairs", "2"},
          {"dpdk_eal", "--no-huge"},
          {"dpdk_devices", "net_memif0"},
          {"dpdk_addresses", "10.7.0.1"},
          {"dpdk_udp_port", "9000"},
          {"dpdk_mtu", "9000"},
          {"socket_mode", "0660"},
          {"socket_group", "root"},
          {"tls_cert", "/other.pem"},
          {"tls_key", "/other.key"},
          {"tls_client_ca", "/other-ca.pem"},
          {"http", "off"},
          {"shards", "3"},
          {"pin", "on"},
          {"memory_limit", "8GiB"},
          {"job_memory_limit", "1GiB"},
          {"jobs_max", "3"},
          {"sessions_max", "5"},
          {"peer_timeout", "7s"},
          {"join_timeout", "9s"},
          {"stores", "ordinary"},
          {"idle_spin", "11us"},
          {"admin_token_file", token_file},
          {"allow_create", "no"},
          {"log_level", "debug"},
          {"log_json", "yes"}};
}

std::string argument(std::string name, const std::string& value) {
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name + "=" + value;
}

bool is_same(const HubConfig& a, const HubConfig& b) {
  const auto fields = [](const HubConfig& c) {
    return std::tuple(c.listen, c.advertise, c.port_first, c.port_last, c.tcp_streams, c.devices,
                      c.socket_mode, c.socket_group, c.tls_cert, c.tls_key, c.tls_client_ca, c.http,
                      c.shards, c.pin, c.is_pinned, c.memory_limit_bytes, c.job_memory_limit_bytes,
                      c.jobs_max, c.sessions_max, c.peer_timeout_ms, c.join_timeout_ms, c.stores,
                      c.idle_spin_us, c.can_workers_create, c.admin_token, c.log_level,
                      c.is_log_json);
  };
  return fields(a) == fields(b);
}

class HubReloadTest : public testing::Test {
 protected:
  void SetUp() override { write_token("0123456789abcdef"); }
  ~HubReloadTest() override { std::filesystem::remove(token_file_); }
  void write_token(const std::string& token) {
    std::ofstream(token_file_) << token << "\n";
    ::chmod(token_file_.c_str(), 0600);
  }
  const std::string token_file_ =
      testing::TempDir() + "phub_reload_token_" + std::to_string(::getpid());
};

TEST_F(HubReloadTest, EveryOptionChangesNowOrNamesARestartAsTheTableSays) {
  const auto values = other_values(token_file_);
  // TLS goes with an address, a certificate and a key, or not at all.
  const std::map<std::string, std::string> tls = {
      {"tls_cert", "/hub.pem"}, {"tls_key", "/hub.key"}, {"tls_client_ca", "/ca.pem"}};
  for (const HubOption& option : hub_options()) {
    const std::string name(option.name);
    ASSERT_TRUE(values.contains(name)) << "give this test a value of " << name;
    std::vector<std::string> before;
    if (tls.contains(name)) {
      before.push_back("--listen=tls://127.0.0.1:1");
      for (const auto& [option_name, value] : tls) before.push_back(argument(option_name, value));
    }
    std::vector<std::string> after = before;
    std::erase(after, argument(name, tls.contains(name) ? tls.at(name) : ""));
    after.push_back(argument(name, values.at(name)));
    const HubCommand running = parse(before);
    const Result<HubReload> reload = plan_reload(running, parse(after));
    ASSERT_TRUE(reload.ok()) << name << ": " << reload.status().message();
    EXPECT_EQ(reload->applied.size(), option.can_reload ? 1u : 0u) << name;
    EXPECT_EQ(reload->needs_restart.size(), option.can_reload ? 0u : 1u) << name;
    EXPECT_EQ(is_same(reload->command.config, running.config), !option.can_reload) << name;
    const OptionChange& change =
        option.can_reload ? reload->applied.at(0) : reload->needs_restart.at(0);
    EXPECT_EQ(change.option, name);
    EXPECT_EQ(change.from, tls.contains(name) ? tls.at(name) : std::string(option.fallback));
    EXPECT_EQ(change.to, values.at(name));
  }
}

TEST_F(HubReloadTest, TheSameConfigurationChangesNothing) {
  const HubCommand running = parse({"--jobs-max=7"});
  const Result<HubReload> reload = plan_reload(running, parse({"--jobs-max=7"}));
  ASSERT_TRUE(reload.ok());
  EXPECT_TRUE(reload->applied.empty());
  EXPECT_TRUE(reload->needs_restart.empty());
}

TEST_F(HubReloadTest, WhatNeedsARestartIsNamedEveryTimeUntilThen) {
  const HubCommand wanted = parse({"--listen=tcp://127.0.0.1:9", "--jobs-max=2"});
  const Result<HubReload> first = plan_reload(parse({}), wanted);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(applied_text(first->applied.at(0)), "jobs_max: 64 -> 2");
  const Result<HubReload> second = plan_reload(first->command, wanted);
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->applied.empty());
  EXPECT_EQ(needs_restart_text(second->needs_restart.at(0)),
            "listen: shm:///tmp/phub.sock -> tcp://127.0.0.1:9 needs a restart; still "
            "shm:///tmp/phub.sock");
}

TEST_F(HubReloadTest, ATokenFileWithNewContentIsAChangeThatShowsNoToken) {
  const HubCommand running = parse({"--admin-token-file", token_file_});
  write_token("fedcba9876543210");
  const Result<HubReload> reload = plan_reload(running, parse({"--admin-token-file", token_file_}));
  ASSERT_TRUE(reload.ok());
  EXPECT_EQ(reload->command.config.admin_token, "fedcba9876543210");
  EXPECT_EQ(applied_text(reload->applied.at(0)),
            "admin_token_file: " + token_file_ + " -> " + token_file_ + " (its new content)");
}

TEST_F(HubReloadTest, ADoorToTheNetworkKeepsItsToken) {
  const HubCommand running = parse({"--http=0.0.0.0:7070", "--admin-token-file", token_file_});
  const Result<HubReload> reload = plan_reload(running, parse({"--http=127.0.0.1:7070"}));
  ASSERT_FALSE(reload.ok());
  EXPECT_EQ(reload.status().code(), Code::invalid_argument);
  EXPECT_THAT(reload.status().message(), HasSubstr("http = 0.0.0.0:7070 is not a loopback"));
}

}  // namespace
}  // namespace phub::config
