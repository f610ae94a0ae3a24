// `phub-perf compare A B`: the rows of two result files that measured the same, side by side.
#include <cstdio>

#include "perf/arguments.h"
#include "perf/commands.h"
#include "perf/compare.h"

namespace phub::perf {

int run_compare(Words words) {
  constexpr Flag kFlags[] = {
      {"noise", "percent within which rows count as equal", "5"},
      {"fail-if-slower", "exit status 1 when a row of B is slower", "", true},
  };
  if (print_help(words, "compare A.jsonl B.jsonl", kFlags)) return 0;
  const Result<Arguments> arguments = Arguments::parse(words, kFlags);
  if (!arguments.ok()) return fail(arguments.status());
  if (arguments->positional().size() != 2) {
    return fail(
        Status(Code::invalid_argument, "compare wants two files of results\n" + usage(kFlags)));
  }
  const Result<uint64_t> noise = arguments->number("noise", 0, 1000);
  if (!noise.ok()) return fail(noise.status());
  const Result<std::vector<Row>> before = load_rows(arguments->positional()[0]);
  if (!before.ok()) return fail(before.status());
  const Result<std::vector<Row>> after = load_rows(arguments->positional()[1]);
  if (!after.ok()) return fail(after.status());
  const Comparison comparison = compare(*before, *after, static_cast<double>(*noise));
  std::fputs(comparison.text.c_str(), stdout);
  return comparison.slower > 0 && arguments->is_set("fail-if-slower") ? 1 : 0;
}

}  // namespace phub::perf
