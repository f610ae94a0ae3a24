// Goal: Prometheus can read every line, and no name that a rank chooses can forge one.
// Method: a strict reader of the text format over a made-up hub.
#include "phub/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "tests/phub/fake_admin.h"

namespace phub::hub {
namespace {

using testing::HasSubstr;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST(MetricsTest, EveryLineIsValidAndEverySampleHasHelpAndType) {
  const std::regex sample(
      R"re(([a-z_]+)(\{[a-z_]+="([^"\\]|\\.)*"(,[a-z_]+="([^"\\]|\\.)*")*\})? [-+0-9.e]+)re");
  const std::regex meta("# (HELP|TYPE) ([a-z_]+) (.+)");
  std::set<std::string> helped;
  std::set<std::string> typed;
  std::set<std::string> series;
  const JobLateness late{"resnet", 1, 3.25};
  for (const std::string& line : lines_of(to_metrics(make_snapshot(), {&late, 1}))) {
    std::smatch match;
    if (std::regex_match(line, match, meta)) {
      auto& seen = match[1] == "HELP" ? helped : typed;
      EXPECT_TRUE(seen.insert(match[2]).second) << "twice: " << line;
      continue;
    }
    ASSERT_TRUE(std::regex_match(line, match, sample)) << line;
    EXPECT_TRUE(helped.contains(match[1])) << line;
    EXPECT_TRUE(typed.contains(match[1])) << line;
    EXPECT_TRUE(line.starts_with("phub_")) << line;
    EXPECT_TRUE(series.insert(line.substr(0, line.rfind(' '))).second) << "twice: " << line;
  }
  EXPECT_EQ(helped, typed);
  EXPECT_GT(series.size(), 30u);
}

TEST(MetricsTest, CountersEndInTotalAndOnlyThey) {
  for (const std::string& line : lines_of(to_metrics(make_snapshot(), {}))) {
    if (!line.starts_with("# TYPE ")) continue;
    EXPECT_EQ(line.ends_with(" counter"), line.find("_total ") != std::string::npos) << line;
  }
}

TEST(MetricsTest, TheManualExplainsEveryMetric) {
  std::ostringstream manual;
  manual << std::ifstream(PHUB_DOCS "/operations.md").rdbuf();
  for (const std::string& line : lines_of(to_metrics(make_snapshot(), {}))) {
    if (!line.starts_with("# TYPE ")) continue;
    const std::string name = line.substr(7, line.rfind(' ') - 7);
    EXPECT_THAT(manual.str(), HasSubstr("`" + name + "`"));
  }
}

TEST(MetricsTest, NumbersAreThoseOfTheSnapshot) {
  const JobLateness late{"resnet", 1, 3.25};
  const std::string text = to_metrics(make_snapshot(), {&late, 1});
  EXPECT_THAT(text, HasSubstr("phub_shard_pushes_total{shard=\"0\"} 1234567\n"));
  EXPECT_THAT(text, HasSubstr("phub_memory_limit_bytes 8589934592\n"));
  EXPECT_THAT(text, HasSubstr("phub_uptime_seconds 12.5\n"));
  EXPECT_THAT(text, HasSubstr("phub_job_state{job=\"resnet\",state=\"running\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("phub_job_state{job=\"resnet\",state=\"forming\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("phub_job_ranks{job=\"resnet\",state=\"left\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("phub_job_late_seconds{job=\"resnet\"} 3.25\n"));
  EXPECT_THAT(text, HasSubstr("phub_job_memory_bytes{job=\"resnet\",part=\"tables\"} 4096\n"));
}

TEST(MetricsTest, PacketsAreCountedByWhatBecameOfThem) {
  HubSnapshot hub = make_snapshot();
  hub.packets = {{"dpdk", 100, 90, 1, 2, 3, 4, 5, 6, 7, 8}};
  const std::string text = to_metrics(hub, {});
  EXPECT_THAT(text, HasSubstr("phub_packets_total{fabric=\"dpdk\",direction=\"in\"} 90\n"));
  EXPECT_THAT(text, HasSubstr("phub_packets_total{fabric=\"dpdk\",direction=\"out\"} 100\n"));
  uint32_t value = 0;
  for (const char* const name : {"repeated", "duplicate", "malformed", "stale", "foreign",
                                 "handed_over", "dropped", "no_buffer"}) {
    EXPECT_THAT(text, HasSubstr("phub_packets_" + std::string(name) + "_total{fabric=\"dpdk\"} " +
                                std::to_string(++value) + "\n"));
  }
}

TEST(MetricsTest, NicsHaveBytesEachWayAStateAndTheirImbalance) {
  HubSnapshot hub = make_snapshot();
  hub.nics = {{"mlx5_0", 200, 100, 0, 0, 0, 0}, {"mlx5_1", 60, 40, 3, 2, 7, 1}};
  const std::string text = to_metrics(hub, {});
  EXPECT_THAT(text, HasSubstr("phub_nic_bytes_total{nic=\"mlx5_0\",direction=\"in\"} 100\n"));
  EXPECT_THAT(text, HasSubstr("phub_nic_bytes_total{nic=\"mlx5_1\",direction=\"out\"} 60\n"));
  EXPECT_THAT(text, HasSubstr("phub_nic_up{nic=\"mlx5_0\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("phub_nic_up{nic=\"mlx5_1\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("phub_nic_rebuilds_total{nic=\"mlx5_1\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("phub_nic_detours_total{nic=\"mlx5_1\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("phub_nic_imbalance_ratio 1.5\n"));
  EXPECT_EQ(nic_imbalance({{"idle"}}), 1);
}

TEST(MetricsTest, LabelsCannotForgeASample) {
  EXPECT_EQ(escape_label("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
  HubSnapshot hub = make_snapshot();
  hub.jobs[0].name = "x\"} 1\nphub_forged{a=\"";
  for (const std::string& line : lines_of(to_metrics(hub, {}))) {
    EXPECT_FALSE(line.starts_with("phub_forged")) << line;
  }
}

TEST(MetricsTest, TheOldestRoundDecidesHowLateAJobIs) {
  const JobLateness late = summarize("a", {{0, "x", 1, 2.0, {1}}, {1, "y", 1, 7.5, {1}}});
  EXPECT_EQ(late.tensor_count, 2u);
  EXPECT_EQ(late.seconds_max, 7.5);
  EXPECT_EQ(summarize("a", {}).seconds_max, 0);
}

}  // namespace
}  // namespace phub::hub
