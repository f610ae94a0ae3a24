// Goal: a reported percentile or bandwidth means what its users think it means.
// Method: small cases by hand.
#include "perf/statistics.h"

#include <gtest/gtest.h>

#include <vector>

namespace phub::perf {
namespace {

TEST(StatisticsTest, QuantilesAreNearestRank) {
  const std::vector<double> samples = {5, 1, 4, 2, 3};
  EXPECT_EQ(quantile(samples, 0), 1);
  EXPECT_EQ(quantile(samples, 0.5), 3);
  EXPECT_EQ(quantile(samples, 0.8), 4);
  EXPECT_EQ(quantile(samples, 0.81), 5);
  EXPECT_EQ(quantile(samples, 1), 5);
  EXPECT_EQ(quantile({}, 0.5), 0);
}

TEST(StatisticsTest, TheMedianOfAnEvenCountIsTheMiddleOfTwo) {
  EXPECT_EQ(median(std::vector<double>{1, 9, 2, 4}), 3);
  EXPECT_EQ(median(std::vector<double>{7}), 7);
  EXPECT_EQ(median({}), 0);
}

TEST(StatisticsTest, BandwidthsFollowNcclTests) {
  const Bandwidth four = bandwidth(1'000'000, 4, 1000);  // 1 MB in 1 ms.
  EXPECT_DOUBLE_EQ(four.alg, 1.0);
  EXPECT_DOUBLE_EQ(four.bus, 1.5);
  EXPECT_DOUBLE_EQ(four.hub, 4.0);
  EXPECT_EQ(bandwidth(1, 4, 0).alg, 0);
}

}  // namespace
}  // namespace phub::perf
