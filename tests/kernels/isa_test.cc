// Goal: the instruction set can be forced, nothing wrong can be forced, and isa_name() is the
// truth. Method: what the environment says is read once in a process, so each case runs in a child
// of its own; this program calls no kernel outside of them.
#include "kernels/isa.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "base/log.h"
#include "kernels/reduce.h"

namespace phub::kernels {
namespace {

// Runs in a child: PHUB_ISA is `wish`; prints the name in use and the log, leaves with a sum's
// value.
[[noreturn]] void sum_with(const char* wish) {
  base::set_log_sink([](base::LogLevel, std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  });
  setenv("PHUB_ISA", wish, 1);
  const float two = 2, three = 3;
  const void* const sources[] = {&two, &three};
  float sum = 0;
  fold(DataType::fp32, ReduceOp::sum, sources, false, &sum, 1);
  std::fprintf(stderr, "runs on %s.\n", isa_name());
  std::exit(static_cast<int>(sum));
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

TEST(IsaDeathTest, TheEnvironmentForcesAnySetThatTheMachineHas) {
  for (const std::string& name : supported_isas()) {
    EXPECT_EXIT(sum_with(name.c_str()), testing::ExitedWithCode(5), "runs on " + name + "\\.");
    EXPECT_EXIT(sum_with(lower(name).c_str()), testing::ExitedWithCode(5),
                "runs on " + name + "\\.");
  }
}

TEST(IsaDeathTest, WithoutAWishTheBestSetIsUsed) {
  const std::string best = supported_isas().front();
  EXPECT_EXIT(sum_with(""), testing::ExitedWithCode(5), "^runs on " + best + "\\.");
}

TEST(IsaDeathTest, AnUnknownSetIsReportedAndTheBestIsUsed) {
  const std::string best = supported_isas().front();
  EXPECT_EXIT(sum_with("mmx"), testing::ExitedWithCode(5),
              "PHUB_ISA: instruction set \"mmx\" is not available here; this machine has " + best +
                  "(.|\n)*runs on " + best + "\\.");
}

TEST(IsaTest, TheListEndsWithTheOracleAndNamesNothingTwice) {
  const std::vector<std::string> names = supported_isas();
  ASSERT_GE(names.size(), 2u);
  EXPECT_EQ(names.back(), "SCALAR");
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
}

TEST(IsaTest, ForcingAnUnknownSetFailsAndChangesNothing) {
  const std::string before = isa_name();
  const Status status = force_isa("sse9");
  EXPECT_EQ(status.code(), Code::invalid_argument);
  EXPECT_NE(status.message().find("sse9"), std::string::npos);
  EXPECT_EQ(isa_name(), before);
}

}  // namespace
}  // namespace phub::kernels
