// Just enough reading of C++ text for the rules: comments, words, functions, includes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace phub::repo {

// The same text, line for line, with comments, string and character literals blanked out.
std::string code_only(std::string_view text);

// Does `word` stand in the text with no letter, digit or underscore around it?
bool contains_word(std::string_view text, std::string_view word);

struct Function {
  size_t line = 0;        // Where it starts, from 1.
  size_t line_count = 0;  // From there to its closing brace.
};
// Functions, member functions and tests; not the lambdas inside them.
std::vector<Function> functions_of(std::string_view text);

struct Include {
  size_t line = 0;
  bool angled = false;  // <name>, not "name".
  std::string name;
};
std::vector<Include> includes_of(std::string_view text);

// Lines that are, or end in, a comment, over lines that are not blank.
double comment_share(std::string_view text);

}  // namespace phub::repo
