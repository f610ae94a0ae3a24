// Goal: the rules see what is there; a rule that overlooks everything would pass everything.
// Method: short texts, each with one thing that simple reading gets wrong.
#include "tests/repo/source_text.h"

#include <gtest/gtest.h>

namespace phub::repo {
namespace {

TEST(SourceTextTest, CommentsAndLiteralsAreNoCode) {
  EXPECT_EQ(code_only("a; // b\nc"), "a;     \nc");
  EXPECT_EQ(code_only("a /* b\nc */ d"), "a     \n     d");
  EXPECT_EQ(code_only(R"(f("x // \" y", '"');)"), "f(" + std::string(11, ' ') + ",    );");
  EXPECT_EQ(code_only("1'000'000 + x"), "1'000'000 + x");
  EXPECT_EQ(code_only("f(R\"=(a ) \" b)=\") + c"), "f(" + std::string(14, ' ') + ") + c");
}

TEST(SourceTextTest, AWordIsNotPartOfAnother) {
  EXPECT_TRUE(contains_word("a printf(b)", "printf("));
  EXPECT_FALSE(contains_word("snprintf(b)", "printf("));
  EXPECT_TRUE(contains_word("x_end end", "end"));
  EXPECT_FALSE(contains_word("ending, x_end", "end"));
}

TEST(SourceTextTest, FunctionsAreMeasuredFromHeadToClosingBrace) {
  const std::vector<Function> functions = functions_of(
      "namespace a {\n"
      "class B : public C {\n"
      "  int size() const { return 1; }\n"
      "};\n"
      "static int table[] = {\n"
      "  f(1),\n"
      "};\n"
      "#define BRACE {\n"
      "void f(int x,\n"
      "       int y) {\n"
      "  auto g = [] {\n"
      "  };\n"
      "}\n"
      "}\n");
  ASSERT_EQ(functions.size(), 2u);
  EXPECT_EQ(functions[0].line, 3u);
  EXPECT_EQ(functions[0].line_count, 1u);
  EXPECT_EQ(functions[1].line, 9u);
  EXPECT_EQ(functions[1].line_count, 5u);
}

TEST(SourceTextTest, IncludesKeepTheirSpelling) {
  const std::vector<Include> includes =
      includes_of("#pragma once\n#include <vector>\n  #  include \"base/fd.h\"\n");
  ASSERT_EQ(includes.size(), 2u);
  EXPECT_TRUE(includes[0].angled);
  EXPECT_EQ(includes[1].name, "base/fd.h");
  EXPECT_EQ(includes[1].line, 3u);
}

TEST(SourceTextTest, TrailingCommentsCountAsComment) {
  EXPECT_DOUBLE_EQ(comment_share("// a\n\nint b;  // c\nint d;\n/* e\n f */\n"), 0.8);
}

}  // namespace
}  // namespace phub::repo
