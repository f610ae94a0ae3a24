// Goal: a running hub is changed without a restart (SIGHUP, phubctl reload, log-level), and
// maintenance can be waited for and cancelled; jobs in progress notice nothing.
// Method: real phubd, phubctl and workers as processes; every wait has a deadline.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/host_port.h"
#include "phub/phubctl.h"
#include "tests/process/child.h"

namespace phub::process {
namespace {

using hub::CtlExit;
using std::chrono::seconds;
using testing::HasSubstr;
using Json = nlohmann::json;

class ReloadTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "phub-reload-" + std::to_string(::getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // With stderr in a file, so that the log can be read.
  Child start_hub(const std::string& config) {
    write_config(config);
    const std::string command = std::string("exec ") + PHUB_TEST_PHUBD + " --config " + folder_ +
                                "/hub.conf --listen shm://" + folder_ +
                                "/s.sock --http 127.0.0.1:0 --shards 1 2> " + folder_ + "/log";
    Child hub({"/bin/sh", "-c", command});
    const std::string ready = hub.wait_line("phubd", seconds(20)).value_or("no hub");
    const size_t http = ready.find("http ");
    EXPECT_NE(http, std::string::npos) << ready;
    http_ = ready.substr(http + 5, ready.find(',', http) - http - 5);
    return hub;
  }
  void write_config(const std::string& text) { std::ofstream(folder_ + "/hub.conf") << text; }
  Child start_worker(uint32_t rank, uint32_t size) const {
    return Child({PHUB_TEST_WORKER, "shm://" + folder_ + "/s.sock", "job", std::to_string(rank),
                  std::to_string(size)});
  }
  hub::CtlResult ctl(std::vector<std::string> arguments) const {
    const std::vector<std::string> environment{"PHUB_HTTP=" + http_};
    return hub::run_phubctl(arguments, environment);
  }
  std::string log() const {
    std::ostringstream text;
    text << std::ifstream(folder_ + "/log").rdbuf();
    return text.str();
  }
  bool log_has(const std::string& text) const {
    const auto deadline = std::chrono::steady_clock::now() + seconds(10);
    while (log().find(text) == std::string::npos) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
  }
  Json status() const { return Json::parse(ctl({"status", "--json"}).output); }

  std::string folder_;
  std::string http_;
};

TEST_F(ReloadTest, SighupAppliesWhatCanChangeAndLogsWhatCannot) {
  const Child hub = start_hub("jobs_max = 5\nstores = auto\n");
  EXPECT_EQ(status()["jobs_max"], 5);
  write_config("jobs_max = 6\nstores = ordinary\nmemory_limit = 64MiB\nlog_json = yes\n");
  hub.signal(SIGHUP);
  ASSERT_TRUE(log_has("stores: auto -> ordinary needs a restart; still auto")) << log();
  EXPECT_THAT(log(), HasSubstr("jobs_max: 5 -> 6"));
  EXPECT_EQ(status()["jobs_max"], 6);
  EXPECT_EQ(status()["memory_limit_bytes"], 64 << 20);
  // The log has turned to JSON: the last line is one object.
  const std::string text = log();
  const size_t last = text.rfind('\n', text.size() - 2);
  EXPECT_TRUE(Json::parse(text.substr(last + 1)).contains("message")) << text;
}

TEST_F(ReloadTest, ABrokenFileChangesNothingAndSaysWhy) {
  const Child hub = start_hub("jobs_max = 5\n");
  write_config("jobs_max = 6\nlog_level = loud\n");
  const hub::CtlResult reload = ctl({"reload"});
  EXPECT_EQ(reload.exit, CtlExit::refused);
  EXPECT_THAT(reload.error, HasSubstr("hub.conf:2: log_level = loud is none of"));
  EXPECT_EQ(status()["jobs_max"], 5);
  write_config("jobs_max = 6\n");
  EXPECT_EQ(ctl({"reload"}).output, "jobs_max: 5 -> 6\n");
  EXPECT_EQ(ctl({"reload"}).output, "the configuration is as before\n");
}

TEST_F(ReloadTest, ANewTokenHoldsFromTheReloadOn) {
  const std::string token = folder_ + "/token";
  const auto write_token = [&](const std::string& text) {
    std::ofstream(token) << text << "\n";
    ::chmod(token.c_str(), 0600);
  };
  const std::string old = folder_ + "/old";
  write_token("0123456789abcdef");
  std::filesystem::copy_file(token, old);
  const Child hub = start_hub("admin_token_file = " + token + "\n");
  EXPECT_EQ(ctl({"reload"}).exit, CtlExit::refused);
  write_token("fedcba9876543210");
  EXPECT_THAT(ctl({"reload", "--token-file", old}).output, HasSubstr("its new content"));
  EXPECT_EQ(ctl({"reload", "--token-file", old}).exit, CtlExit::refused);
  EXPECT_EQ(ctl({"reload", "--token-file", token}).exit, CtlExit::done);
  EXPECT_EQ(log().find("fedcba"), std::string::npos);
}

TEST_F(ReloadTest, TheLogLevelChangesUntilAReload) {
  const Child hub = start_hub("log_level = warning\n");
  EXPECT_EQ(ctl({"log-level"}).output, "warning\n");
  EXPECT_EQ(ctl({"log-level", "info"}).output, "info\n");
  EXPECT_EQ(ctl({"log-level"}).output, "info\n");
  ctl({"log-level"});
  EXPECT_THAT(ctl({"reload"}).output, HasSubstr("log_level: info -> warning"));
  EXPECT_EQ(ctl({"log-level"}).output, "warning\n");
}

TEST_F(ReloadTest, DrainWaitsForTheJobsAndCanBeCancelled) {
  Child hub = start_hub("");
  std::array workers{start_worker(0, 2), start_worker(1, 2)};
  for (Child& worker : workers) ASSERT_TRUE(worker.wait_line("round", seconds(20)).has_value());
  const hub::CtlResult impatient = ctl({"drain", "--wait=300ms"});
  EXPECT_EQ(impatient.exit, CtlExit::timed_out) << impatient.output;
  EXPECT_THAT(impatient.error, HasSubstr("1 job: job (running, 2 of 2 ranks ready)"));
  EXPECT_EQ(status()["is_draining"], true);
  EXPECT_THAT(ctl({"metrics"}).output, HasSubstr("phub_draining 1"));

  EXPECT_EQ(ctl({"undrain"}).exit, CtlExit::done);
  EXPECT_EQ(status()["is_draining"], false);
  EXPECT_TRUE(workers[0].wait_line("round", seconds(20)).has_value());
  // After a cancelled drain the first signal drains again; it does not stop.
  hub.signal(SIGTERM);
  ASSERT_TRUE(log_has("SIGTERM: draining"));
  EXPECT_EQ(ctl({"undrain"}).exit, CtlExit::done);
  hub.signal(SIGTERM);
  EXPECT_TRUE(workers[0].wait_line("round", seconds(20)).has_value());
  EXPECT_FALSE(hub.wait_exit(std::chrono::milliseconds(100)).has_value());

  Child patient({PHUB_TEST_PHUBCTL, "drain", "--wait", "--http", http_});
  EXPECT_TRUE(patient.wait_line("waits for 1 job: job", seconds(10)).has_value());
  for (const Child& worker : workers) worker.signal(SIGKILL);
  EXPECT_EQ(patient.wait_exit(seconds(20)), 0);
  EXPECT_EQ(hub.wait_exit(seconds(20)), 0);
}

}  // namespace
}  // namespace phub::process
