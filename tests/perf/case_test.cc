// Goal: a sweep runs exactly the combinations asked for, and a worker process the same case.
// Method: command lines in, cases out, and back.
#include "perf/case.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phub::perf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<std::vector<Case>> parse(const std::vector<std::string>& words) {
  std::vector<const char*> pointers;
  for (const std::string& word : words) pointers.push_back(word.c_str());
  const std::vector<Flag> flags = case_flags();
  const Result<Arguments> arguments = Arguments::parse(pointers, flags);
  if (!arguments.ok()) return arguments.status();
  return parse_cases(*arguments);
}

TEST(CaseTest, ListsAreCombined) {
  const auto cases = parse(
      {"--size", "4KiB,1MiB,4MiB", "--workers", "2,4", "--shards", "1", "--dtype", "fp32,bf16"});
  ASSERT_TRUE(cases.ok()) << cases.status().message();
  ASSERT_EQ(cases->size(), 12u);
  EXPECT_EQ(cases->front().bytes(), 4096u);
  EXPECT_EQ((*cases)[1].bytes(), 1u << 20);
  EXPECT_EQ(cases->back().type, DataType::bf16);
  EXPECT_EQ(cases->back().workers, 4u);
  EXPECT_EQ(cases->back().bytes(), 4u << 20);
}

TEST(CaseTest, AWorkerReadsBackTheSameCase) {
  const auto cases = parse(
      {"--model", "resnet18",    "--workers",     "3",        "--chunk-bytes", "4KiB", "--dtype",
       "fp16",    "--optimizer", "momentum",      "--stores", "ordinary",      "--op", "mean",
       "--rails", "2",           "--queue-pairs", "3",        "--frame-bytes", "1500"});
  ASSERT_TRUE(cases.ok()) << cases.status().message();
  const auto again = parse(to_words(cases->front()));
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(to_words(again->front()), to_words(cases->front()));
  EXPECT_EQ(again->front().chunk_elements(), 2048u);
  EXPECT_EQ(again->front().optimizer.kind, OptimizerKind::momentum);
  EXPECT_EQ(again->front().shards, cases->front().shards);
}

TEST(CaseTest, AllFabricsAreThoseThatWorkHere) {
  const auto cases = parse({"--size", "4KiB", "--fabric", "all"});
  ASSERT_TRUE(cases.ok()) << cases.status().message();
  std::vector<std::string> fabrics;
  for (const Case& one : *cases) fabrics.push_back(one.fabric);
  EXPECT_THAT(fabrics, testing::IsSupersetOf({"shm", "tcp", "tls"}));
}

TEST(CaseTest, ImpossibleCasesAreRefusedByName) {
  const std::pair<std::vector<std::string>, const char*> bad[] = {
      {{"--model", "resnet18", "--size", "4KiB"}, "either --model or --size"},
      {{}, "either --model or --size"},
      {{"--size", "4KiB", "--dtype", "fp8"}, "--dtype = fp8"},
      {{"--size", "4KiB", "--op", "average"}, "--op = average"},
      {{"--size", "4KiB", "--optimizer", "lion"}, "--optimizer = lion"},
      {{"--size", "4KiB", "--optimizer", "sgd", "--dtype", "int32"}, "not int32"},
      {{"--size", "4KiB", "--optimizer", "sgd", "--op", "max"}, "sum or mean"},
      {{"--size", "4KiB", "--chunk-bytes", "100"}, "--chunk-bytes = 100"},
      {{"--size", "4KiB", "--chunk-bytes", "64MiB"}, "--chunk-bytes"},
      {{"--size", "4KiB", "--op", "product", "--workers", "9"}, "at most 8 workers"},
      {{"--size", "4KiB", "--fabric", "pigeon"}, "--fabric = pigeon"},
      {{"--size", "4KiB", "--rails", "0"}, "rails"},
      {{"--size", "4KiB", "--stores", "warm"}, "--stores = warm"},
      {{"--size", "4KiB", "--fabric", "smoke"}, "--fabric = smoke"},
      {{"--size", "4KiB", "--workers", ""}, "empty"},
      {{"--size", "4KiB", "--workers", "0"}, "--workers = 0"},
  };
  for (const auto& [words, message] : bad) {
    EXPECT_THAT(parse(words).status().message(), HasSubstr(message));
  }
}

TEST(CaseTest, FrontLayersHaveThePriority) {
  const auto cases = parse({"--model", "alexnet"});
  ASSERT_TRUE(cases.ok()) << cases.status().message();
  const std::vector<TensorSpec> specs = tensor_specs(cases->front());
  ASSERT_EQ(specs.size(), 16u);
  EXPECT_GT(specs.front().priority, specs.back().priority);
  EXPECT_EQ(specs.front().name, "conv1.weight");
}

TEST(CaseTest, AProfileSaysHowLongEachTensorComputes) {
  const Model model{"m", {{"a", 1}, {"b", 2}, {"c", 3}}};
  EXPECT_THAT(*parse_profile(model, "# measured\nc,30\na,10\n"), ElementsAre(10, 0, 30));
  EXPECT_THAT(parse_profile(model, "a,10\nx,1\n").status().message(), HasSubstr("line 2"));
  for (const char* text : {"a", "a,", "a,x", "a,-1"}) {
    EXPECT_EQ(parse_profile(model, text).status().code(), Code::invalid_argument) << text;
  }
}

}  // namespace
}  // namespace phub::perf
