// Goal: a comparison pairs what measured the same and says which got slower.
// Method: rows by hand.
#include "perf/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phub::perf {
namespace {

Row row(const char* system, uint64_t bytes, double us) {
  Row result;
  result.system = system;
  result.bytes = bytes;
  result.workers = 2;
  result.time_us_p50 = us;
  return result;
}

TEST(CompareTest, PairsAreJudgedBeyondTheNoise) {
  const Row before[] = {row("phub", 4096, 10), row("phub", 8192, 10), row("gloo", 4096, 100)};
  const Row after[] = {row("phub", 4096, 5), row("phub", 8192, 12), row("gloo", 4096, 101)};
  const Comparison result = compare(before, after, 5);
  EXPECT_EQ(result.faster, 1u);
  EXPECT_EQ(result.slower, 1u);
  EXPECT_EQ(result.unmatched, 0u);
  EXPECT_THAT(result.text, testing::HasSubstr("2.00x+"));
}

TEST(CompareTest, RowsWithoutAPartnerAreNamed) {
  const Row before[] = {row("phub", 4096, 10)};
  const Row after[] = {row("phub", 1, 10)};
  const Comparison result = compare(before, after, 5);
  EXPECT_EQ(result.unmatched, 2u);
  EXPECT_THAT(result.text, testing::HasSubstr("only in A: phub"));
  EXPECT_THAT(result.text, testing::HasSubstr("only in B: phub"));
}

TEST(CompareTest, TheLastOfEqualRowsCounts) {
  const Row before[] = {row("phub", 1, 10)};
  const Row after[] = {row("phub", 1, 100), row("phub", 1, 10)};
  EXPECT_EQ(compare(before, after, 5).slower, 0u);
}

}  // namespace
}  // namespace phub::perf
