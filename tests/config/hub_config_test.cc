// Goal: what an operator writes becomes exactly one checked HubConfig, or a sentence that names the
// place, the value, the reason and the way out.
// Method: a described machine of 16 cores and 64 GiB; each source alone, then against each other.
#include "config/hub_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/hub_options.h"

namespace phub::config {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr Machine kMachine{16, 64 * kGiB};

Result<HubCommand> parse(const std::vector<std::string>& arguments,
                         const std::vector<std::string>& environment = {}) {
  return parse_hub_command(arguments, environment, kMachine);
}

std::string error_of(const std::vector<std::string>& arguments,
                     const std::vector<std::string>& environment = {}) {
  const Result<HubCommand> command = parse(arguments, environment);
  return command.ok() ? "no error" : command.status().message();
}

std::string file_error_of(const std::string& text) {
  const Result<HubConfig> config = parse_hub_file(text, "rack8.conf", kMachine);
  return config.ok() ? "no error" : config.status().message();
}

// Options that do not have their default, with what they have.
std::map<std::string, std::string> changed(const HubCommand& command) {
  std::map<std::string, std::string> result;
  for (const HubSetting& setting : command.settings) {
    if (setting.text != find_hub_option(setting.name)->fallback)
      result[setting.name] = setting.text;
  }
  return result;
}

TEST(HubConfigTest, WithoutOptionsTheDefaultsFitTheMachine) {
  const Result<HubCommand> command = parse({});
  ASSERT_TRUE(command.ok()) << command.status().message();
  const HubConfig& config = command->config;
  EXPECT_EQ(config.listen, "shm:///tmp/phub.sock");
  EXPECT_EQ(to_text(*config.http), "127.0.0.1:7070");
  EXPECT_EQ(config.shards, 16u);
  EXPECT_FALSE(config.is_pinned);  // The workers on this machine need the cores as well.
  EXPECT_EQ(config.memory_limit_bytes, 32 * kGiB);
  EXPECT_EQ(config.job_memory_limit_bytes, 32 * kGiB);
  EXPECT_EQ(config.jobs_max, 64u);
  EXPECT_EQ(config.sessions_max, 4096u);
  EXPECT_EQ(config.peer_timeout_ms, 5'000u);
  EXPECT_EQ(config.join_timeout_ms, 60'000u);
  EXPECT_EQ(config.stores, StorePolicy::automatic);
  EXPECT_TRUE(config.can_workers_create);
  EXPECT_TRUE(config.admin_token.empty());
  EXPECT_EQ(command->ready_fd, -1);
}

TEST(HubConfigTest, EveryOptionReachesItsField) {
  const Result<HubCommand> command = parse({"--listen=shm:///run/x.sock",
                                            "--http",
                                            "off",
                                            "--shards",
                                            "4",
                                            "--socket-mode=0666",
                                            "--socket-group=root",
                                            "--pin=off",
                                            "--memory-limit=8GiB",
                                            "--job-memory-limit",
                                            "1GiB",
                                            "--jobs-max=3",
                                            "--sessions-max=9",
                                            "--peer-timeout=2s",
                                            "--join-timeout=1min",
                                            "--stores=ordinary",
                                            "--idle-spin=7us",
                                            "--advertise=[fd00::7]",
                                            "--port-range=7100-7163",
                                            "--allow-create=no",
                                            "--log-level=error",
                                            "--log-json=yes",
                                            "--ready-fd=5"});
  ASSERT_TRUE(command.ok()) << command.status().message();
  const HubConfig& config = command->config;
  EXPECT_EQ(config.listen, "shm:///run/x.sock");
  EXPECT_FALSE(config.http.has_value());
  EXPECT_EQ(config.advertise, "fd00::7");
  EXPECT_EQ(config.port_first, 7100u);
  EXPECT_EQ(config.port_last, 7163u);
  EXPECT_EQ(config.socket_mode, 0666u);
  EXPECT_EQ(config.socket_group, 0u);
  EXPECT_EQ(config.shards, 4u);
  EXPECT_FALSE(config.is_pinned);
  EXPECT_EQ(config.memory_limit_bytes, 8 * kGiB);
  EXPECT_EQ(config.job_memory_limit_bytes, kGiB);
  EXPECT_EQ(config.jobs_max, 3u);
  EXPECT_EQ(config.sessions_max, 9u);
  EXPECT_EQ(config.peer_timeout_ms, 2'000u);
  EXPECT_EQ(config.join_timeout_ms, 60'000u);
  EXPECT_EQ(config.stores, StorePolicy::ordinary);
  EXPECT_EQ(config.idle_spin_us, 7u);
  EXPECT_FALSE(config.can_workers_create);
  EXPECT_EQ(config.log_level, base::LogLevel::error);
  EXPECT_TRUE(config.is_log_json);
  EXPECT_EQ(command->ready_fd, 5);
}

TEST(HubConfigTest, TlsAddressesAndCertificatesGoTogether) {
  const Result<HubCommand> command = parse(
      {"--listen=tcp://h:1,tls://h:2", "--tls-cert=/c", "--tls-key=/k", "--tls-client-ca=/a"});
  ASSERT_TRUE(command.ok()) << command.status().message();
  EXPECT_EQ(command->config.tls_cert, "/c");
  EXPECT_EQ(command->config.tls_key, "/k");
  EXPECT_EQ(command->config.tls_client_ca, "/a");
  EXPECT_THAT(error_of({"--listen=tls://h:2"}), HasSubstr("set tls_cert and tls_key"));
  EXPECT_THAT(error_of({"--listen=tls://h:2", "--tls-cert=/c"}), HasSubstr("tls_key"));
  EXPECT_THAT(error_of({"--listen=tcp://h:2", "--tls-client-ca=/a"}),
              StartsWith("--tls-client-ca is set, but listen = tcp://h:2 has no tls://"));
  EXPECT_THAT(error_of({"--listen=tls://h"}), HasSubstr("HOST:PORT"));
}

TEST(HubConfigTest, CommandLineBeatsEnvironmentBeatsFile) {
  const std::string path = testing::TempDir() + "phub_precedence.conf";
  std::ofstream(path) << "shards = 1\njobs_max = 1\nsessions_max = 1\n";
  const Result<HubCommand> command =
      parse({"--config", path, "--shards=3"},
            {"PHUBD_SHARDS=2", "PHUBD_JOBS_MAX=2", "PHUB_HUB=ignored", "HOME=/root"});
  std::filesystem::remove(path);
  ASSERT_TRUE(command.ok()) << command.status().message();
  EXPECT_EQ(command->config.shards, 3u);
  EXPECT_EQ(command->config.jobs_max, 2u);
  EXPECT_EQ(command->config.sessions_max, 1u);
}

TEST(HubConfigTest, ALineOfAFileIsNamedInItsError) {
  EXPECT_EQ(file_error_of("# rack 8\n\nshards = 24\n"),
            "rack8.conf:3: shards = 24, but this process may use 16 cores and each shard wants its "
            "own; use at most 16");
  EXPECT_THAT(file_error_of("pin = on\nshardz = 2\n"),
              StartsWith("rack8.conf:2: unknown option \"shardz\""));
  EXPECT_THAT(file_error_of("pin\n"), StartsWith("rack8.conf:1: not NAME = VALUE"));
  EXPECT_THAT(file_error_of("[hub]\n"), StartsWith("rack8.conf:1: sections are not supported"));
  EXPECT_THAT(file_error_of("pin = on\npin = off\n"),
              StartsWith("rack8.conf:2: pin is given twice, first as rack8.conf:1: pin"));
}

TEST(HubConfigTest, AnOptionOfTheCommandLineIsNamedInItsError) {
  EXPECT_EQ(error_of({"--pin=maybe"}), "--pin = maybe is none of auto, on, off");
  EXPECT_THAT(error_of({"--shardz=2"}), HasSubstr("--shardz"));
  EXPECT_THAT(error_of({"--shards"}), HasSubstr("--shards"));
  EXPECT_THAT(error_of({"rack8.conf"}), StartsWith("command line: "));
  EXPECT_THAT(error_of({"--shards=1", "--shards=2"}), HasSubstr("given twice"));
  EXPECT_THAT(error_of({"--ready-fd=x"}), StartsWith("--ready-fd = x is not a whole number"));
}

TEST(HubConfigTest, AVariableOfTheEnvironmentIsNamedInItsError) {
  EXPECT_THAT(error_of({}, {"PHUBD_SHARDS=99"}), StartsWith("PHUBD_SHARDS = 99, but"));
  EXPECT_THAT(error_of({}, {"PHUBD_SHARDZ=9"}), StartsWith("environment: PHUBD_SHARDZ"));
}

TEST(HubConfigTest, AMissingFileIsNotFound) {
  const Result<HubCommand> command = parse({"--config=/nonexistent/rack8.conf"});
  ASSERT_FALSE(command.ok());
  EXPECT_EQ(command.status().code(), Code::not_found);
  EXPECT_THAT(command.status().message(), HasSubstr("/nonexistent/rack8.conf"));
}

struct BadValue {
  const char* setting;
  const char* message;  // A part of it.
};
TEST(HubConfigTest, WrongValuesAreRefusedWithAReason) {
  const BadValue cases[] = {
      {"listen = /tmp/phub.sock", "has no scheme"},
      {"listen = ipx://a:1", "it has shm, tcp, tls, verbs, dpdk"},
      {"listen = verbs://hub", "has no port; want verbs://HOST:PORT, for example verbs://0.0.0.0:"},
      {"listen = shm://tmp/phub.sock", "absolute path"},
      {"listen = tcp://10.1.0.0/33:7077", "no block of addresses"},
      {"advertise = eth1:7077", "without a port"},
      {"advertise = 0.0.0.0", "nobody can connect to"},
      {"port_range = 7163-7100", "FIRST-LAST"},
      {"port_range = 0-7100", "FIRST-LAST"},
      {"port_range = 7100-7102", "has 3 ports, but each of the 16 shards"},
      {"tcp_streams = 0", "from 1 to 16"},
      {"tcp_streams = 17", "tcp_streams = 17 is"},
      {"rdma_mtu = 1500", "rdma_mtu = 1500 is no MTU of RDMA"},
      {"http = 7070", "has no port; want HOST:PORT"},
      {"http = 127.0.0.1:70700", "port"},
      {"socket_mode = 0777", "0600, 0660, 0666"},
      {"socket_group = no such group", "is no group of this machine"},
      {"shards = 0", "whole number from 1"},
      {"shards = -1", "whole number"},
      {"memory_limit = lots", "8GiB"},
      {"memory_limit = 1KiB", "too little"},
      {"memory_limit = 65GiB", "the machine has 64 GiB"},
      {"memory_limit = 101%", "1% to 100%"},
      {"job_memory_limit = 33GiB", "memory_limit, for all jobs together, is 32 GiB"},
      {"jobs_max = 0", "from 1 to 4096"},
      {"peer_timeout = 5", "5s"},
      {"peer_timeout = 1ms", "100 ms"},
      {"peer_timeout = 100500us", "whole milliseconds"},
      {"join_timeout = 9999min", "out of range"},
      {"stores = quick", "ordinary"},
      {"idle_spin = 2s", "at most 1s"},
      {"admin_token_file = /nonexistent", "/nonexistent"},
      {"allow_create = perhaps", "yes, no"},
      {"log_level = loud", "warning"}};
  for (const BadValue& bad : cases) {
    const std::string message = file_error_of(bad.setting);
    EXPECT_THAT(message, StartsWith("rack8.conf:1: ")) << bad.setting;
    EXPECT_THAT(message, HasSubstr(bad.message)) << bad.setting;
  }
}

TEST(HubConfigTest, AnInterfaceAndABlockOfAddressesAreListenedOn) {
  EXPECT_EQ(file_error_of("listen = tcp://eth1:7077,tcp://10.1.0.0/16:0,tcp://[fd00::/64]:7077"),
            "no error");
  EXPECT_EQ(file_error_of("advertise = 10.1.0.0/16\nport_range = 7100-7115"), "no error");
}

TEST(HubConfigTest, TheLongestSocketPathIsAcceptedAndOneMoreByteIsNot) {
  EXPECT_EQ(file_error_of("listen = shm:///" + std::string(106, 'x')), "no error");
  EXPECT_THAT(file_error_of("listen = shm:///" + std::string(107, 'x')),
              HasSubstr("at most 107 bytes and this one has 108"));
}

TEST(HubConfigTest, AutomaticPinningLeavesAWorkerOnThisMachineACore) {
  EXPECT_FALSE(parse_hub_file("shards = 16", "x", kMachine)->is_pinned);
  EXPECT_TRUE(parse_hub_file("shards = 15", "x", kMachine)->is_pinned);
  EXPECT_TRUE(parse_hub_file("listen = tcp://0.0.0.0:7071", "x", kMachine)->is_pinned);
  EXPECT_TRUE(parse_hub_file("pin = on", "x", kMachine)->is_pinned);
  EXPECT_FALSE(parse_hub_file("shards = 1\npin = off", "x", kMachine)->is_pinned);
}

TEST(HubConfigTest, HelpAndVersionWinOverWrongOptions) {
  EXPECT_TRUE(parse({"--help", "--shards=99"})->wants_help);
  EXPECT_TRUE(parse({"-h"})->wants_help);
  EXPECT_TRUE(parse({"--version"})->wants_version);
}

TEST(HubConfigTest, HelpListsEveryOptionWithItsDefault) {
  const std::string text = hub_options_text();
  EXPECT_EQ(static_cast<size_t>(std::count(text.begin(), text.end(), '\n')), hub_options().size());
  EXPECT_THAT(text, HasSubstr("--memory-limit SIZE|SHARE"));
  EXPECT_THAT(text, HasSubstr("(default: 50%; SIGHUP)"));
}

// Every option's line of a printed configuration with its default as it stands behind the '#'.
std::string uncommented(std::string_view name, const std::string& text) {
  const std::string mark = "\n#" + std::string(name) + " = ";
  const size_t at = text.find(mark);
  return at == std::string::npos ? "" : text.substr(at + 2, text.find('\n', at + 1) - at - 2);
}

TEST(HubConfigTest, ThePrintedDefaultsAreAFileThatChangesNothing) {
  const std::string text = hub_config_text({});
  EXPECT_TRUE(parse_hub_file(text, "printed", kMachine).ok());
  std::string all;
  for (const HubOption& option : hub_options()) {
    const std::string line = uncommented(option.name, text);
    EXPECT_EQ(line, std::string(option.name) + " = " + std::string(option.fallback));
    EXPECT_EQ(file_error_of(line), "no error");
    all += line + "\n";
  }
  const std::string path = testing::TempDir() + "phub_printed.conf";
  std::ofstream(path) << all;
  const Result<HubCommand> command = parse({"--config", path});
  std::filesystem::remove(path);
  ASSERT_TRUE(command.ok()) << command.status().message();
  EXPECT_TRUE(changed(*command).empty());
  EXPECT_EQ(command->config.memory_limit_bytes, 32 * kGiB);
  EXPECT_EQ(command->config.job_memory_limit_bytes, 32 * kGiB);
  EXPECT_EQ(command->config.shards, 16u);
}

TEST(HubConfigTest, APrintedConfigurationComesToTheSameSettings) {
  const Result<HubCommand> first =
      parse({"--print-config", "--shards=3", "--jobs-max=64"}, {"PHUBD_SOCKET_MODE=0660"});
  ASSERT_TRUE(first.ok()) << first.status().message();
  EXPECT_TRUE(first->wants_config);
  const std::map<std::string, std::string> expected = {{"shards", "3"}, {"socket_mode", "0660"}};
  EXPECT_EQ(changed(*first), expected);
  const std::string path = testing::TempDir() + "phub_again.conf";
  std::ofstream(path) << hub_config_text(first->settings);
  const Result<HubCommand> second = parse({"--config", path});
  std::filesystem::remove(path);
  ASSERT_TRUE(second.ok()) << second.status().message();
  EXPECT_EQ(changed(*second), expected);
  EXPECT_EQ(second->config.socket_mode, 0660u);
}

TEST(HubConfigTest, ADefaultThatIsWrittenOutOverridesWhatStandsBelowIt) {
  const Result<HubCommand> command = parse({"--shards=all", "--job-memory-limit=memory_limit"},
                                           {"PHUBD_SHARDS=2", "PHUBD_JOB_MEMORY_LIMIT=1GiB"});
  ASSERT_TRUE(command.ok()) << command.status().message();
  EXPECT_EQ(command->config.shards, 16u);
  EXPECT_EQ(command->config.job_memory_limit_bytes, 32 * kGiB);
  EXPECT_THAT(error_of({"--shards=2"}, {"PHUBD_SHARDS=99"}), StartsWith("PHUBD_SHARDS = 99"));
}

TEST(HubConfigTest, TheManualExplainsEveryOption) {
  std::ostringstream manual;
  manual << std::ifstream(PHUB_DOCS "/operations.md").rdbuf();
  for (const HubOption& option : hub_options()) {
    const std::string begin = "\n| `" + std::string(option.name) + "` | ";
    const size_t row = manual.str().find(begin);
    ASSERT_NE(row, std::string::npos) << begin;
    const std::string rest = manual.str().substr(row + begin.size(), 80);
    EXPECT_EQ(rest.find("| yes |") != std::string::npos, option.can_reload) << option.name;
  }
}

TEST(HubConfigTest, AFileLargerThanTheLimitIsRefused) {
  const std::string path = testing::TempDir() + "phub_large.conf";
  std::ofstream(path) << std::string(70'000, '#');
  const std::string message = error_of({"--config", path});
  std::filesystem::remove(path);
  EXPECT_THAT(message, HasSubstr("longer than 64 KiB"));
}

TEST(HubConfigTest, EveryExampleLoads) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(PHUB_CONFIG_EXAMPLES)) {
    if (entry.path().extension() != ".conf") continue;
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    const Result<HubConfig> config = parse_hub_file(text.str(), entry.path().string(), kMachine);
    EXPECT_TRUE(config.ok()) << config.status().message();
    ++count;
  }
  EXPECT_GE(count, 3u);
}

}  // namespace
}  // namespace phub::config
