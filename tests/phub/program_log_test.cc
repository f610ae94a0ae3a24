// Goal: a log line stays one line and, as JSON, one valid value, whatever it says.
// Method: hostile texts through the encoder, and a captured stderr.
#include "phub/program_log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace phub::hub {
namespace {

TEST(ProgramLogTest, HostileTextBecomesOneJsonString) {
  for (const std::string& text :
       {std::string("plain"), std::string("\"quoted\"\n"), std::string("\xff\x01\x00x", 4)}) {
    const std::string json = json_string(text);
    EXPECT_TRUE(nlohmann::json::parse(json).is_string()) << json;
    EXPECT_EQ(json.find('\n'), std::string::npos);
  }
}

TEST(ProgramLogTest, JsonLinesHaveTimeLevelAndMessage) {
  testing::internal::CaptureStderr();
  start_log(base::LogLevel::info, true);
  base::log(base::LogLevel::debug, "not shown");
  base::log(base::LogLevel::warning, "rank 3 is \"late\" {}");
  stop_log();
  const std::string output = testing::internal::GetCapturedStderr();
  const auto line = nlohmann::json::parse(output);
  EXPECT_EQ(line["level"], "warning");
  EXPECT_EQ(line["message"], "rank 3 is \"late\" {}");
  EXPECT_EQ(line["time"].get<std::string>().size(), 24u);
}

TEST(ProgramLogTest, TextLinesCarryTheirLevel) {
  testing::internal::CaptureStderr();
  start_log(base::LogLevel::error, false);
  base::log(base::LogLevel::info, "not shown");
  base::log(base::LogLevel::error, "broken");
  stop_log();
  const std::string output = testing::internal::GetCapturedStderr();
  EXPECT_NE(output.find("error"), std::string::npos);
  EXPECT_NE(output.find(" broken\n"), std::string::npos);
  EXPECT_EQ(output.find("not shown"), std::string::npos);
}

}  // namespace
}  // namespace phub::hub
