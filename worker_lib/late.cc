#include "worker_lib/late.h"

#include <cstdio>

namespace phub::client {

std::string timed_out_after(std::chrono::milliseconds timeout) {
  char text[64];
  std::snprintf(text, sizeof(text), "timed out after %.1f s",
                static_cast<double>(timeout.count()) / 1000);
  return text;
}

std::string late_part(std::string_view report, std::string_view subject) {
  if (report.empty()) return "the hub knows of no rank that is late";
  const std::string start = std::string(subject) + ": ";
  for (size_t at = report.find(start); !subject.empty() && at != std::string_view::npos;
       at = report.find(start, at + 1)) {
    if (at > 0 && report[at - 1] != '\n' && report[at - 1] != ' ') continue;
    const std::string_view rest = report.substr(at + start.size());
    return std::string(rest.substr(0, rest.find_first_of("\n;")));
  }
  return std::string(report);
}

}  // namespace phub::client
