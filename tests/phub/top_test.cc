// Goal: top shows true rates, survives restarts and new epochs, and fits its window.
// Method: two made-up looks at a hub, an exact page; no terminal, no clock.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "phub/http_server.h"
#include "phub/json.h"
#include "phub/phubctl.h"
#include "phub/top_rates.h"
#include "phub/top_text.h"
#include "tests/phub/fake_admin.h"

namespace phub::hub {
namespace {

using testing::HasSubstr;

TopSample sample_of(const HubSnapshot& hub) {
  Result<TopSample> sample = read_sample(to_json(hub));
  EXPECT_TRUE(sample.ok()) << sample.status().message();
  return std::move(sample).value();
}

// The made-up hub, two seconds later.
HubSnapshot later(HubSnapshot hub) {
  hub.uptime_seconds += 2;
  hub.shards[0].pushes += 5000;
  hub.shards[0].pushed_bytes += 6'420'000'000;
  hub.shards[0].replied_bytes += 1'660'000;
  hub.shards[0].sleeps += 3;
  hub.shards[0].busy_seconds += 1.5;
  hub.jobs[0].rounds += 2 * 3205 * 10;
  hub.jobs[0].pushed_bytes += 6'420'000'000;
  hub.jobs[0].replied_bytes += 1'660'000;
  return hub;
}

TEST(TopTest, RatesAreDifferencesOverTheHubsOwnTime) {
  const TopSample before = sample_of(make_snapshot());
  const TopSample after = sample_of(later(make_snapshot()));
  const TopRates rates = rates_between(before, after);
  ASSERT_TRUE(rates.jobs.at(0).has_value());
  EXPECT_DOUBLE_EQ(rates.jobs[0]->rounds, 10);  // 3,205 chunks are one exchange of the model.
  EXPECT_DOUBLE_EQ(rates.jobs[0]->pushed_bytes, 3.21e9);
  EXPECT_DOUBLE_EQ(rates.shards.at(0)->pushes, 2500);
  EXPECT_DOUBLE_EQ(rates.shards[0]->sleeps, 1.5);
  EXPECT_DOUBLE_EQ(rates.shards[0]->busy_share, 0.75);
}

TEST(TopTest, ThePageIsExactlyThis) {
  TopSample after = sample_of(later(make_snapshot()));
  after.jobs[0].late = TopSample::Late{3.25, "fc1.weight", {1}};
  EXPECT_EQ(top_text(after, rates_between(sample_of(make_snapshot()), after)),
            "phubd 0.1.0 on node7, AVX2, up 14.5 s, serving\n"
            "memory 1 GiB of 8 GiB, jobs 1 of 64, in 3.21 GB/s, out 830 kB/s\n"
            "\n"
            "JOB     STATE    READY  EPOCH  ROUNDS/S     IN/S   OUT/S  LATE\n"
            "resnet  running    1/2      1      10.0  3.21 GB  830 kB  rank 1 for 3.2 s on "
            "fc1.weight\n"
            "\n"
            "SHARD  CORE  BUSY     IN/S   OUT/S  PUSHES/S  SLEEPS/S\n"
            "    0     3  75 %  3.21 GB  830 kB      2500      1.50\n");
}

TEST(TopTest, NicsThatTheHubDrivesHaveRatesAndAState) {
  HubSnapshot hub = make_snapshot();
  hub.nics = {{"mlx5_0", 100, 100, 0, 0, 0, 0}};
  const TopSample before = sample_of(hub);
  hub.uptime_seconds += 2;
  hub.nics[0].bytes_received += 4'000'000;
  hub.nics[0].links_down = 3;
  hub.nics.push_back({"mlx5_1", 5, 5, 0, 0, 0, 0});
  const TopSample after = sample_of(hub);
  const std::string text = top_text(after, rates_between(before, after));
  EXPECT_THAT(text, HasSubstr("\nNIC        IN/S  OUT/S  STATE\n"
                              "mlx5_0  2.00 MB    0 B  3 queue pairs down\n"
                              "mlx5_1        -      -  up\n"));
  const auto json = nlohmann::json::parse(top_json(after, rates_between(before, after)));
  EXPECT_EQ(json["nics"][0]["received_bytes_per_second"], 2e6);
}

TEST(TopTest, AHubThatWasStartedAnewHasNoRatesYet) {
  const TopSample before = sample_of(later(make_snapshot()));
  const TopSample after = sample_of(make_snapshot());
  const TopRates rates = rates_between(before, after);
  EXPECT_FALSE(rates.shards.at(0).has_value());
  EXPECT_FALSE(rates.jobs.at(0).has_value());
  EXPECT_THAT(top_text(after, rates), HasSubstr("resnet  running    1/2      1         -     -"));
}

TEST(TopTest, ANewJobHasNoRatesAndANewEpochCountsFromZero) {
  HubSnapshot second = later(make_snapshot());
  second.jobs.push_back(second.jobs[0]);
  second.jobs[1].name = "bert";
  second.jobs[0].epoch = 2;
  second.jobs[0].rounds = 0;
  second.jobs[0].pushed_bytes = 4000;
  HubSnapshot first = make_snapshot();
  first.jobs[0].pushed_bytes = 1'000'000;
  const TopRates rates = rates_between(sample_of(first), sample_of(second));
  EXPECT_DOUBLE_EQ(rates.jobs.at(0)->pushed_bytes, 2000);
  EXPECT_DOUBLE_EQ(rates.jobs[0]->rounds, 0);
  EXPECT_FALSE(rates.jobs.at(1).has_value());
}

TEST(TopTest, TheLongestWaitIsShownAndShortOnesAreNot) {
  const std::string json =
      to_json("resnet", {{5, "a", 17, 0.4, {1}}, {6, "b", 17, 7, {2, 3}}, {7, "c", 17, 5, {4}}});
  const auto late = read_late(json, 1);
  ASSERT_TRUE(late.ok() && late->has_value());
  EXPECT_EQ((*late)->tensor, "b");
  EXPECT_EQ((*late)->ranks, (std::vector<uint32_t>{2, 3}));
  EXPECT_FALSE(read_late(json, 8)->has_value());
}

TEST(TopTest, WhatNoHubSendsIsRefused) {
  EXPECT_FALSE(read_sample("{}").ok());
  EXPECT_FALSE(read_sample("<html>").ok());
  EXPECT_FALSE(read_late("[]", 0).ok());
}

TEST(TopTest, APageIsCutToItsWindow) {
  EXPECT_EQ(fit("one\ntwo\nthree\n", 3, 3), "one\ntwo\nthr\n");
  EXPECT_EQ(fit("one\ntwo\nthree\nfour\n", 20, 3), "one\ntwo\n... 2 more lines\n");
  EXPECT_EQ(fit("one\ntwo\n", 1, 1), ".\n");
  EXPECT_EQ(fit("", 80, 24), "");
}

TEST(TopTest, RatesHaveThreeDigits) {
  EXPECT_EQ(rate_text(0), "0 B");
  EXPECT_EQ(rate_text(999.4), "999 B");
  EXPECT_EQ(rate_text(999.6), "1.00 kB");
  EXPECT_EQ(rate_text(9996), "10.0 kB");
  EXPECT_EQ(rate_text(123456789), "123 MB");
  EXPECT_EQ(rate_text(5e15), "5000 TB");
}

TEST(TopTest, IntoAPipeItIsOneTableOrJson) {
  FakeAdmin admin;
  const auto server = HttpServer::start({{"127.0.0.1", 0}, ""}, admin);
  ASSERT_TRUE(server.ok());
  const std::vector<std::string> environment{"PHUB_HTTP=" + to_text((*server)->address())};
  const std::vector<std::string> once{"top", "--once", "--interval=100ms"};
  const CtlResult table = run_phubctl(once, environment);
  EXPECT_EQ(table.exit, CtlExit::done) << table.error;
  EXPECT_THAT(table.output, HasSubstr("rank 1 for 3.2 s on fc1.weight"));
  EXPECT_EQ(table.output.find('\x1b'), std::string::npos);
  const std::vector<std::string> as_json{"top", "--json", "--interval=100ms"};
  const auto json = nlohmann::json::parse(run_phubctl(as_json, environment).output);
  EXPECT_EQ(json["jobs"][0]["late_ranks"][0], 1);
  EXPECT_TRUE(json["shards"][0]["busy_share"].is_null());  // The made-up hub stands still.
}

}  // namespace
}  // namespace phub::hub
