#include "tests/repo/source_text.h"

#include <cctype>
#include <regex>
#include <sstream>

namespace phub::repo {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Where the literal or comment that starts at `begin` ends; begin if none starts there.
size_t end_of_literal(std::string_view text, size_t begin) {
  const std::string_view rest = text.substr(begin);
  const auto after = [&](std::string_view end, size_t from) {
    const size_t found = rest.find(end, from);
    return found == std::string_view::npos ? text.size() : begin + found + end.size();
  };
  if (rest.starts_with("//")) return begin + std::min(rest.find('\n'), rest.size());
  if (rest.starts_with("/*")) return after("*/", 2);
  if (rest.starts_with("R\"") && (begin == 0 || !is_word(text[begin - 1]))) {
    const std::string mark(rest.substr(2, rest.find('(') - 2));
    return after(")" + mark + "\"", 2);
  }
  const bool separator = rest[0] == '\'' && begin > 0 && is_word(text[begin - 1]);  // 1'000
  if ((rest[0] != '"' && rest[0] != '\'') || separator) return begin;
  for (size_t i = 1; i < rest.size(); ++i) {
    if (rest[i] == '\\') {
      ++i;
    } else if (rest[i] == rest[0]) {
      return begin + i + 1;
    }
  }
  return text.size();
}

// Preprocessor lines blanked out: their braces need not match.
std::string without_directives(const std::string& code) {
  std::string out;
  std::istringstream lines(code);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find_first_not_of(' ');
    inside = inside || (first != std::string::npos && line[first] == '#');
    if (!inside) out += line;
    out += '\n';
    inside = inside && line.ends_with('\\');
  }
  return out;
}

// Is `head`, what stands before an opening brace, the head of a function?
bool is_function_head(const std::string& head) {
  static const std::regex type_or_scope(
      R"(^\s*(template\s*<[^{}]*>\s*)?(inline\s+)?(namespace|class|struct|union|enum|extern)\b)");
  const size_t last = head.find_last_not_of(" \n");
  if (last == std::string::npos || head[last] == '=' || head[last] == ',') return false;
  return head.find('(') != std::string::npos && !std::regex_search(head, type_or_scope);
}

}  // namespace

std::string code_only(std::string_view text) {
  std::string code(text);
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t end = end_of_literal(text, i);
    for (size_t j = i; j < end; ++j) {
      if (code[j] != '\n') code[j] = ' ';
    }
    if (end > i) i = end - 1;
  }
  return code;
}

bool contains_word(std::string_view text, std::string_view word) {
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    const bool starts = at == 0 || !is_word(word.front()) || !is_word(text[at - 1]);
    const bool ends = end == text.size() || !is_word(word.back()) || !is_word(text[end]);
    if (starts && ends) return true;
  }
  return false;
}

std::vector<Function> functions_of(std::string_view text) {
  const std::string code = without_directives(code_only(text));
  std::vector<Function> functions;
  std::string head;           // Since the last brace or semicolon.
  size_t line = 1;            // Of the current character.
  size_t head_line = 1;       // Where head's first word stands.
  size_t depth = 0;           // Open braces.
  size_t function_depth = 0;  // Of the function that is open; 0 if none is.
  for (const char c : code) {
    if (c == '{') {
      ++depth;
      if (function_depth == 0 && is_function_head(head)) {
        function_depth = depth;
        functions.push_back({head_line, 0});
      }
    } else if (c == '}' && depth > 0) {
      if (depth == function_depth) {
        functions.back().line_count = line - functions.back().line + 1;
        function_depth = 0;
      }
      --depth;
    }
    line += c == '\n';
    const bool ends_head = c == '{' || c == '}' || c == ';';
    head = ends_head ? "" : head + c;
    if (head.find_first_not_of(" \n") == std::string::npos) head_line = line;
  }
  return functions;
}

std::vector<Include> includes_of(std::string_view text) {
  static const std::regex pattern(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  std::vector<Include> includes;
  std::istringstream lines{std::string(text)};
  size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    std::smatch match;
    if (!std::regex_search(line, match, pattern)) continue;
    includes.push_back({number, match[1] == "<", match[2]});
  }
  return includes;
}

double comment_share(std::string_view text) {
  const std::string code = code_only(text);
  std::istringstream lines{std::string(text)};
  std::istringstream code_lines(code);
  size_t comment_count = 0;
  size_t line_count = 0;
  std::string code_line;
  for (std::string line; std::getline(lines, line) && std::getline(code_lines, code_line);) {
    if (line.find_first_not_of(' ') == std::string::npos) continue;
    ++line_count;
    const bool blanked = code_line.find_first_not_of(' ') == std::string::npos;
    comment_count += blanked || line.find("//") != std::string::npos;
  }
  return line_count == 0 ? 0 : static_cast<double>(comment_count) / static_cast<double>(line_count);
}

}  // namespace phub::repo
