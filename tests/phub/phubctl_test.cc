// Goal: an operator reads and changes a hub from a shell: right tables, right exit status, and a
// sentence when something is wrong.
// Method: phubctl without its main against a real server over a made-up hub; plans need none.
#include "phub/phubctl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "phub/http_server.h"
#include "phub/table.h"
#include "tests/phub/fake_admin.h"

namespace phub::hub {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::StartsWith;
using Json = nlohmann::json;

constexpr const char* kToken = "0123456789abcdef0123456789abcdef";

class PhubctlTest : public testing::Test {
 protected:
  void start(const std::string& token = "") {
    auto started = HttpServer::start({{"127.0.0.1", 0}, token}, admin_);
    ASSERT_TRUE(started.ok()) << started.status().message();
    server_ = std::move(started).value();
  }
  CtlResult ask(const std::vector<std::string>& arguments) {
    const std::vector<std::string> environment{"PHUB_HTTP=" + to_text(server_->address())};
    return run_phubctl(arguments, environment);
  }

  FakeAdmin admin_;
  std::unique_ptr<HttpServer> server_;
};

CtlResult run(const std::vector<std::string>& arguments) { return run_phubctl(arguments, {}); }

TEST_F(PhubctlTest, StatusShowsHubShardsAndJobs) {
  start();
  const CtlResult result = ask({"status"});
  EXPECT_EQ(result.exit, CtlExit::done) << result.error;
  EXPECT_THAT(result.output, StartsWith("phubd 0.1.0 on node7, AVX2, up 12.5 s, serving\n"));
  EXPECT_THAT(result.output, HasSubstr("memory 1 GiB of 8 GiB, jobs 1 of 64"));
  EXPECT_THAT(result.output, HasSubstr("1,234,567"));
  EXPECT_THAT(result.output, ContainsRegex("resnet +running +1/2"));
}

TEST_F(PhubctlTest, StatusShowsTheNicsThatTheHubDrives) {
  admin_.hub.nics = {{"mlx5_0", 3 << 20, 1 << 20, 2, 1, 5, 1}, {"mlx5_1", 0, 4 << 20, 0, 0, 0, 0}};
  start();
  const std::string output = ask({"status"}).output;
  EXPECT_THAT(output, ContainsRegex("mlx5_0 +3 MiB +1 MiB +2 +1 +5 +1\n"));
  EXPECT_THAT(output, HasSubstr("NICs, max/mean 1.000\n"));
}

TEST_F(PhubctlTest, AJobShowsItsRanks) {
  start();
  const CtlResult result = ask({"job", "resnet"});
  EXPECT_EQ(result.exit, CtlExit::done) << result.error;
  EXPECT_THAT(result.output, HasSubstr("25,557,032 elements in 161 tensors"));
  EXPECT_THAT(result.output, ContainsRegex("1 +left +4712 +node2 +shm"));
}

TEST_F(PhubctlTest, LateNamesTheMissingRank) {
  start();
  EXPECT_THAT(ask({"late", "resnet"}).output, ContainsRegex("5 +fc1.weight +17 +3.25 s +1"));
  admin_.lateness.clear();
  EXPECT_EQ(ask({"late", "resnet"}).output, "nobody is late\n");
}

TEST_F(PhubctlTest, JsonIsWhatTheHubSent) {
  start();
  EXPECT_EQ(Json::parse(ask({"status", "--json"}).output)["host"], "node7");
  EXPECT_EQ(Json::parse(ask({"map", "resnet", "--json"}).output)["chunks"].size(), 2u);
  EXPECT_EQ(Json::parse(ask({"jobs", "--json"}).output)["jobs"].size(), 1u);
}

TEST_F(PhubctlTest, MapMetricsJobsAndVersionArePrinted) {
  start();
  EXPECT_THAT(ask({"map", "resnet"}).output, StartsWith("2 chunks of 1 tensors"));
  EXPECT_THAT(ask({"metrics"}).output, HasSubstr("# TYPE phub_jobs gauge"));
  EXPECT_THAT(ask({"jobs"}).output, StartsWith("JOB"));
  EXPECT_THAT(ask({"version"}).output, ContainsRegex("phubctl [0-9.]+\nphubd 0.1.0, protocol 1"));
}

TEST_F(PhubctlTest, CreatePrintsTheSecretOnce) {
  start();
  const CtlResult result = ask({"create", "bert", "--ranks", "4", "--chunk-elements=1024"});
  EXPECT_EQ(result.exit, CtlExit::done) << result.error;
  ASSERT_EQ(admin_.created.size(), 1u);
  EXPECT_EQ(admin_.created[0].name, "bert");
  EXPECT_EQ(admin_.created[0].rank_count, 4u);
  EXPECT_EQ(admin_.created[0].chunk_elements, 1024u);
  EXPECT_THAT(result.output, HasSubstr("secret " + admin_.created[0].secret));
}

TEST_F(PhubctlTest, DrainStopAndRemoveSayWhatTheyDid) {
  start();
  EXPECT_THAT(ask({"drain"}).output, StartsWith("draining"));
  EXPECT_THAT(ask({"stop"}).output, StartsWith("stopping"));
  EXPECT_EQ(ask({"remove", "resnet"}).output, "removed job resnet\n");
  EXPECT_EQ(admin_.removed.size(), 1u);
}

TEST_F(PhubctlTest, ARefusalIsExitOneWithTheHubsSentence) {
  start();
  const CtlResult result = ask({"job", "none"});
  EXPECT_EQ(result.exit, CtlExit::refused);
  EXPECT_THAT(result.error, HasSubstr("not_found: job \"none\""));
  EXPECT_TRUE(result.output.empty());
}

TEST_F(PhubctlTest, TheTokenComesFromAFile) {
  start(kToken);
  const std::string path = testing::TempDir() + "phubctl_token_" + std::to_string(::getpid());
  std::ofstream(path) << kToken << "\n";
  ::chmod(path.c_str(), 0600);
  EXPECT_EQ(ask({"drain"}).exit, CtlExit::refused);
  EXPECT_EQ(ask({"drain", "--token-file", path}).exit, CtlExit::done);
  std::filesystem::remove(path);
  EXPECT_EQ(ask({"drain", "--token-file", path}).exit, CtlExit::usage);
  EXPECT_EQ(admin_.drain_count, 1);
}

TEST_F(PhubctlTest, WithoutAHubTheExitStatusIsThree) {
  start();
  const std::string address = to_text(server_->address());
  server_.reset();
  const CtlResult result = run({"status", "--http", address});
  EXPECT_EQ(result.exit, CtlExit::no_hub);
  EXPECT_THAT(result.error, HasSubstr("http " + address + ": nothing accepts connections"));
  EXPECT_THAT(result.error, HasSubstr("is phubd running there?"));
}

TEST_F(PhubctlTest, NamesOfRanksCannotDriveTheTerminal) {
  start();
  admin_.hub.jobs[0].ranks[0].host = "\x1b[2Jnode\n";
  const CtlResult result = ask({"job", "resnet"});
  EXPECT_EQ(result.output.find('\x1b'), std::string::npos);
  EXPECT_THAT(result.output, HasSubstr("?[2Jnode?"));
}

TEST(PhubctlUsageTest, WrongCommandLinesAreExitTwoWithAReason) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{}, "give a verb"},
      {{"destroy"}, "\"destroy\" is no verb"},
      {{"job"}, "give the job's NAME"},
      {{"status", "now"}, "\"now\" is one word too many"},
      {{"job", "a/b"}, "[A-Za-z0-9._-]"},
      {{"create", "a"}, "--ranks"},
      {{"create", "a", "--ranks=0"}, "--ranks = 0"},
      {{"create", "a", "--ranks=2", "--chunk-elements=65"}, "multiple of 64"},
      {{"status", "--http", "nowhere"}, "--http = nowhere"},
      {{"status", "--jsn"}, "--jsn"},
      {{"plan"}, "--ranks"},
      {{"plan", "--ranks=2"}, "--model"},
      {{"plan", "--ranks=2", "--elements=9", "--model=x"}, "either"},
      {{"plan", "--ranks=2", "--elements=9", "--sockets=2"}, "--sockets = 2"},
      {{"plan", "--ranks=2", "--elements=9", "--type=fp8"}, "bf16"}};
  for (const auto& [arguments, reason] : cases) {
    const CtlResult result = run(arguments);
    EXPECT_EQ(result.exit, CtlExit::usage) << reason;
    EXPECT_THAT(result.error, HasSubstr(reason));
  }
  EXPECT_THAT(run({"--help"}).output, HasSubstr("Exit status"));
}

TEST(TableTest, ColumnsAreAlignedWithoutTrailingSpaces) {
  Table table({"NAME", ">COUNT", "NOTE"});
  table.add({"a", "1", ""});
  table.add({"longer", "1000", "x"});
  EXPECT_EQ(table.text(),
            "NAME    COUNT  NOTE\n"
            "a           1\n"
            "longer   1000  x\n");
}

}  // namespace
}  // namespace phub::hub
