// Goal: a mistyped option is named, a right one understood.
// Method: small command lines.
#include "perf/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phub::perf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr Flag kFlags[] = {
    {"size", "bytes", "4KiB"}, {"workers", "ranks", "2"}, {"quiet", "say nothing", "", true}};

Result<Arguments> parse(std::vector<const char*> words) { return Arguments::parse(words, kFlags); }

TEST(ArgumentsTest, DefaultsListsSwitchesAndPositionalsAreRead) {
  const auto given = parse({"a.jsonl", "--workers=2,4", "--size", "4KiB,1MiB", "--quiet"});
  ASSERT_TRUE(given.ok()) << given.status().message();
  EXPECT_THAT(*given->numbers("workers", 1, 8), ElementsAre(2, 4));
  EXPECT_THAT(*given->byte_sizes("size"), ElementsAre(4096, 1048576));
  EXPECT_TRUE(given->is_set("quiet"));
  EXPECT_THAT(given->positional(), ElementsAre("a.jsonl"));
  const auto defaults = parse({});
  EXPECT_EQ(*defaults->number("workers", 1, 8), 2u);
  EXPECT_FALSE(defaults->is_set("quiet"));
}

TEST(ArgumentsTest, MistakesAreNamed) {
  EXPECT_THAT(parse({"--wrokers", "2"}).status().message(), HasSubstr("--wrokers"));
  EXPECT_THAT(parse({"--workers"}).status().message(), HasSubstr("wants a value"));
  EXPECT_THAT(parse({"--quiet=yes"}).status().message(), HasSubstr("no value"));
  EXPECT_THAT(parse({"--workers", "2,9"})->numbers("workers", 1, 8).status().message(),
              HasSubstr("--workers = 9"));
  EXPECT_FALSE(parse({"--workers", "two"})->number("workers", 1, 8).ok());
  EXPECT_FALSE(parse({"--size", "4 parsecs"})->byte_sizes("size").ok());
}

TEST(ArgumentsTest, UsageNamesEveryFlagWithItsDefault) {
  EXPECT_THAT(usage(kFlags), HasSubstr("--size VALUE"));
  EXPECT_THAT(usage(kFlags), HasSubstr("[4KiB]"));
}

}  // namespace
}  // namespace phub::perf
