// Goal: people's sizes and durations mean one thing, and everything else is refused with a reason.
// Method: tables of good and bad texts; what is printed can be read back.
#include "config/quantity.h"

#include <gtest/gtest.h>

namespace phub::config {
namespace {

TEST(QuantityTest, SizesAreReadWithTheirUnit) {
  const std::pair<const char*, uint64_t> cases[] = {{"0", 0},
                                                    {"17", 17},
                                                    {"17B", 17},
                                                    {"1KiB", 1024},
                                                    {"1KB", 1000},
                                                    {"512MiB", 512u << 20},
                                                    {"8 GiB", 8ull << 30},
                                                    {"2TiB", 2ull << 40},
                                                    {"18446744073709551615", UINT64_MAX}};
  for (const auto& [text, bytes] : cases) {
    const Result<uint64_t> result = parse_bytes(text);
    ASSERT_TRUE(result.ok()) << text;
    EXPECT_EQ(*result, bytes) << text;
  }
}

TEST(QuantityTest, WrongSizesAreRefusedWithAnExample) {
  for (const char* text :
       {"", "GiB", "-1", "+1", "8Gib", "8gib", "1.5GiB", "0x10", "8GiB ", " 8"}) {
    const Result<uint64_t> result = parse_bytes(text);
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_EQ(result.status().code(), Code::invalid_argument);
    EXPECT_NE(result.status().message().find("8GiB"), std::string::npos) << text;
  }
}

TEST(QuantityTest, SizesBeyondSixtyFourBitsAreRefusedInsteadOfWrapping) {
  for (const char* text : {"18446744073709551616", "16777216TiB", "99999999999999999999TiB"}) {
    const Result<uint64_t> result = parse_bytes(text);
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_NE(result.status().message().find("2^64"), std::string::npos) << text;
  }
}

TEST(QuantityTest, DurationsNeedAUnit) {
  EXPECT_EQ(*parse_duration_us("50us"), 50u);
  EXPECT_EQ(*parse_duration_us("250ms"), 250'000u);
  EXPECT_EQ(*parse_duration_us("5s"), 5'000'000u);
  EXPECT_EQ(*parse_duration_us("2min"), 120'000'000u);
  for (const char* text : {"5", "", "s", "5sec", "5 h"}) {
    EXPECT_FALSE(parse_duration_us(text).ok()) << text;
  }
}

TEST(QuantityTest, NumbersRespectBothBounds) {
  EXPECT_EQ(*parse_number("3", 3, 5), 3u);
  EXPECT_EQ(*parse_number("5", 3, 5), 5u);
  for (const char* text : {"2", "6", "", "3x", "-3", " 3", "3 "}) {
    const Result<uint64_t> result = parse_number(text, 3, 5);
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_EQ(result.status().message(), "is not a whole number from 3 to 5");
  }
}

TEST(QuantityTest, PrintedSizesAreShort) {
  EXPECT_EQ(print_bytes(0), "0 B");
  EXPECT_EQ(print_bytes(1023), "1023 B");
  EXPECT_EQ(print_bytes(1024), "1 KiB");
  EXPECT_EQ(print_bytes(1536), "1.5 KiB");
  EXPECT_EQ(print_bytes(100ull << 20), "100 MiB");
  EXPECT_EQ(print_bytes(UINT64_MAX), "16 EiB");
}

TEST(QuantityTest, PrintedDurationsAreShort) {
  EXPECT_EQ(print_duration_us(0), "0 us");
  EXPECT_EQ(print_duration_us(1'500), "1.5 ms");
  EXPECT_EQ(print_duration_us(5'000'000), "5 s");
  EXPECT_EQ(print_duration_us(90'000'000), "1.5 min");
}

TEST(QuantityTest, WhatIsPrintedWithoutAFractionCanBeReadBack) {
  for (const uint64_t bytes : {uint64_t{1}, uint64_t{4} << 10, uint64_t{8} << 30}) {
    EXPECT_EQ(*parse_bytes(print_bytes(bytes)), bytes);
  }
  for (const uint64_t us : {uint64_t{7}, uint64_t{250'000}, uint64_t{5'000'000}}) {
    EXPECT_EQ(*parse_duration_us(print_duration_us(us)), us);
  }
}

}  // namespace
}  // namespace phub::config
