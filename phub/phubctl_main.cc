// phubctl: the operator's hand on a hub. See docs/operations.md.
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "config/hub_config.h"
#include "phub/phubctl.h"

int main(int argument_count, char** arguments) {
  const std::vector<std::string> words(arguments + 1, arguments + argument_count);
  const phub::hub::CtlResult result =
      phub::hub::run_phubctl(words, phub::config::this_environment());
  std::fputs(result.output.c_str(), stdout);
  if (!result.error.empty()) std::fprintf(stderr, "phubctl: %s\n", result.error.c_str());
  // A full disk or a closed pipe must not look like success.
  const bool is_written = std::fflush(stdout) == 0;
  return is_written ? static_cast<int>(result.exit) : 1;
}
