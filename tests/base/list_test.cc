// Goal: a list means the same with and without spaces after its commas.
// Method: a table of texts.
#include "base/list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phub::base {
namespace {

using testing::ElementsAre;

TEST(ListTest, SpacesAroundEntriesDoNotCount) {
  EXPECT_THAT(split_list("a,b"), ElementsAre("a", "b"));
  EXPECT_THAT(split_list(" a,\tb c , d\n"), ElementsAre("a", "b c", "d"));
}

TEST(ListTest, WhatIsMissingIsAnEmptyEntry) {
  EXPECT_THAT(split_list(""), ElementsAre(""));
  EXPECT_THAT(split_list("a, ,b,"), ElementsAre("a", "", "b", ""));
}

}  // namespace
}  // namespace phub::base
