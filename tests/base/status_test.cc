// Goal: errors carry their code and sentence through every layer, and every name is a name.
// Method: each function once, and the macros on both paths.
#include <gtest/gtest.h>
#include <phub/status.h>
#include <phub/types.h>

#include <memory>
#include <set>
#include <string>

#include "base/try.h"

namespace phub {
namespace {

Status fail_if(bool is_failing) {
  return is_failing ? Status(Code::not_found, "no such thing") : Status();
}

Result<std::unique_ptr<int>> seven_unless(bool is_failing) {
  PHUB_TRY(fail_if(is_failing));
  return std::make_unique<int>(7);
}

Result<int> doubled_unless(bool is_failing) {
  PHUB_TRY_ASSIGN(const std::unique_ptr<int> seven, seven_unless(is_failing));
  return *seven * 2;
}

}  // namespace

TEST(StatusTest, DefaultIsSuccess) {
  const Status status;
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.to_string(), "ok");
}

TEST(StatusTest, FailureShowsCodeAndMessage) {
  const Status status(Code::timed_out, "rank 3 has not joined");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.code(), Code::timed_out);
  EXPECT_EQ(status.to_string(), "timed_out: rank 3 has not joined");
}

TEST(StatusTest, ContextComesInFrontAndKeepsTheCode) {
  const Status status = Status(Code::unavailable, "in use").with_context("open hub");
  EXPECT_EQ(status.message(), "open hub: in use");
  EXPECT_EQ(status.code(), Code::unavailable);
  EXPECT_TRUE(Status().with_context("open hub").ok());
}

TEST(StatusTest, TryReturnsTheFirstFailureAsItWas) {
  EXPECT_EQ(doubled_unless(false).value(), 14);
  const Result<int> failed = doubled_unless(true);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.status().to_string(), "not_found: no such thing");
}

TEST(StatusTest, ResultMovesItsValueOut) {
  Result<std::unique_ptr<int>> result = seven_unless(false);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(**result, 7);
  const std::unique_ptr<int> taken = *std::move(result);
  EXPECT_EQ(*taken, 7);
}

TEST(StatusTest, EveryCodeHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(Code::internal); ++i) {
    names.insert(to_string(static_cast<Code>(i)));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(Code::internal) + 1);
  EXPECT_EQ(names.count("unknown"), 0u);
  EXPECT_EQ(to_string(static_cast<Code>(99)), "unknown");
}

TEST(StatusTest, EveryTypeHasItsName) {
  EXPECT_EQ(to_string(DataType::bf16), "bf16");
  EXPECT_EQ(to_string(DataType::int64), "int64");
  EXPECT_EQ(to_string(ReduceOp::product), "product");
  EXPECT_EQ(to_string(OptimizerKind::adamw), "adamw");
  EXPECT_EQ(to_string(static_cast<DataType>(99)), "unknown");
}

}  // namespace phub
