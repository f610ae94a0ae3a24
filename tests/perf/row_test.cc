// Goal: results survive the way through a file, with the field names that readers rely on.
// Method: round trips and broken lines.
#include "perf/row.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

namespace phub::perf {
namespace {

Row sample() {
  Row row;
  row.system = "phub";
  row.fabric = "shm";
  row.model = "resnet50";
  row.bytes = 102'228'128;
  row.dtype = "fp32";
  row.workers = 4;
  row.hubs = 1;
  row.time_us_p50 = 20'000;
  row.roof_us = 15'000;
  derive(row);
  return row;
}

TEST(RowTest, EveryPromisedFieldIsInTheJson) {
  const std::string line = to_json_line(sample());
  for (const char* field : {"system", "fabric", "model", "bytes", "dtype", "workers", "hubs",
                            "shards", "chunk_bytes", "samples", "time_us_p50", "time_us_p99",
                            "algbw_GBps", "busbw_GBps", "hubbw_GBps", "roof_percent", "wrong"}) {
    EXPECT_THAT(line, testing::HasSubstr("\"" + std::string(field) + "\":"));
  }
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

TEST(RowTest, ARowReadBackIsTheSame) {
  const Row row = sample();
  const Result<Row> back = parse_row(to_json_line(row));
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_EQ(to_json_line(*back), to_json_line(row));
}

TEST(RowTest, DerivedFiguresFollowFromTheTime) {
  const Row row = sample();
  EXPECT_NEAR(row.algbw_GBps, 5.111, 0.001);
  EXPECT_NEAR(row.busbw_GBps, row.algbw_GBps * 1.5, 1e-9);
  EXPECT_NEAR(row.hubbw_GBps, row.algbw_GBps * 4, 1e-9);
  EXPECT_DOUBLE_EQ(row.roof_percent, 75);
}

TEST(RowTest, BrokenLinesAreRefused) {
  for (const char* line :
       {"", "[]", "{", "{\"bytes\":\"many\"}", "{\"bytes\":-1}", "{\"system\":1}"}) {
    EXPECT_EQ(parse_row(line).status().code(), Code::invalid_argument) << line;
  }
  EXPECT_TRUE(parse_row("{\"new_field\":1}").ok()) << "fields of later versions are skipped";
}

TEST(RowTest, AFileOfResultsNamesItsBrokenLine) {
  const std::string path = testing::TempDir() + "rows.jsonl";
  std::ofstream(path) << to_json_line(sample()) << "\n\nnonsense\n";
  const auto rows = load_rows(path);
  EXPECT_THAT(rows.status().message(), testing::HasSubstr("line 3"));
  std::ofstream(path) << to_json_line(sample()) << "\n";
  ASSERT_TRUE(load_rows(path).ok());
  EXPECT_EQ(load_rows(path)->size(), 1u);
  std::remove(path.c_str());
  EXPECT_EQ(load_rows(path).status().code(), Code::not_found);
}

TEST(RowTest, TheTableShowsWhatUsersOfNcclTestsExpect) {
  for (const char* column : {"size", "count", "type", "redop", "algbw", "busbw", "#wrong"}) {
    EXPECT_THAT(table_header(), testing::HasSubstr(column));
  }
  EXPECT_THAT(table_line(sample()), testing::HasSubstr("102228128"));
}

}  // namespace
}  // namespace phub::perf
