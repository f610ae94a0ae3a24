// Goal: phubctl's command line becomes one checked command, and the manual shows every verb.
// Method: command lines against fields; the table of verbs against docs/operations.md.
#include "config/ctl_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace phub::config {
namespace {

using testing::HasSubstr;

Result<CtlCommand> parse(const std::vector<std::string>& arguments,
                         const std::vector<std::string>& environment = {}) {
  return parse_ctl_command(arguments, environment);
}

std::string error_of(const std::vector<std::string>& arguments) {
  const Result<CtlCommand> command = parse(arguments);
  return command.ok() ? "no error" : command.status().message();
}

TEST(CtlConfigTest, TheManualShowsEveryVerb) {
  std::ostringstream manual;
  manual << std::ifstream(PHUB_DOCS "/operations.md").rdbuf();
  for (int i = 1; i <= static_cast<int>(CtlVerb::plan); ++i) {
    const std::string verb(to_string(static_cast<CtlVerb>(i)));
    ASSERT_NE(verb, "help") << i;
    EXPECT_THAT(manual.str(), HasSubstr("phubctl " + verb)) << verb;
    EXPECT_THAT(ctl_usage(), HasSubstr("\n  " + verb + " ")) << verb;
  }
}

TEST(CtlConfigTest, DrainMayWaitForEverOrForATime) {
  EXPECT_FALSE(parse({"drain"})->wants_wait);
  EXPECT_TRUE(parse({"drain", "--wait"})->wants_wait);
  EXPECT_FALSE(parse({"drain", "--wait"})->wait_ms.has_value());
  EXPECT_EQ(parse({"drain", "--wait=10min"})->wait_ms, 600'000u);
  EXPECT_THAT(error_of({"drain", "--wait=soon"}), HasSubstr("--wait = soon"));
  EXPECT_THAT(error_of({"status", "--wait"}), HasSubstr("--wait is for drain"));
}

TEST(CtlConfigTest, TopHasAnInterval) {
  EXPECT_EQ(parse({"top"})->interval_ms, 1000u);
  EXPECT_EQ(parse({"top", "--interval", "250ms", "--once"})->interval_ms, 250u);
  EXPECT_TRUE(parse({"top", "--once"})->is_once);
  EXPECT_THAT(error_of({"top", "--interval=1ms"}), HasSubstr("out of range; use 100 ms"));
}

TEST(CtlConfigTest, ALogLevelMayBeLeftOut) {
  EXPECT_FALSE(parse({"log-level"})->log_level.has_value());
  EXPECT_EQ(parse({"log-level", "debug"})->log_level, base::LogLevel::debug);
  EXPECT_THAT(error_of({"log-level", "loud"}), HasSubstr("log-level: loud is none of debug, info"));
  EXPECT_THAT(error_of({"log-level", "info", "now"}), HasSubstr("one word too many"));
}

TEST(CtlConfigTest, AddressesComeFromTheCommandLineBeforeTheEnvironment) {
  const std::vector<std::string> environment{"PHUB_HTTP=10.0.0.1:1", "PHUB_HUB=tcp://a:1"};
  const Result<CtlCommand> from_environment = parse({"doctor"}, environment);
  EXPECT_EQ(from_environment->hub, "tcp://a:1");
  EXPECT_EQ(base::to_text(from_environment->http), "10.0.0.1:1");
  EXPECT_TRUE(from_environment->is_http_given);
  EXPECT_EQ(parse({"doctor", "--hub=shm:///b"}, environment)->hub, "shm:///b");
  EXPECT_FALSE(parse({"doctor"})->is_http_given);
}

}  // namespace
}  // namespace phub::config
