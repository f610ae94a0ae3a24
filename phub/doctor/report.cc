#include "phub/doctor/report.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace phub::doctor {
namespace {

constexpr size_t kVerdictColumns = 9;

// Green, yellow, red, grey.
std::string_view colour_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "\x1b[32m";
    case Verdict::warning:
      return "\x1b[33m";
    case Verdict::problem:
      return "\x1b[1;31m";
    case Verdict::skipped:
      return "\x1b[90m";
  }
  return "";
}

std::string padded(std::string_view text, size_t columns) {
  std::string result(text);
  result.resize(std::max(columns, text.size()), ' ');
  return result;
}

std::string summary_of(const std::vector<Finding>& findings) {
  std::string text = std::to_string(findings.size()) + " checks: ";
  const std::array kinds{std::pair(Verdict::ok, "ok"), std::pair(Verdict::warning, "warnings"),
                         std::pair(Verdict::problem, "problems"),
                         std::pair(Verdict::skipped, "skipped")};
  for (size_t i = 0; i < kinds.size(); ++i) {
    const auto count = std::count_if(findings.begin(), findings.end(), [&](const Finding& finding) {
      return finding.verdict == kinds[i].first;
    });
    text += (i == 0 ? "" : ", ") + std::to_string(count) + " " + kinds[i].second;
  }
  return text + "\n";
}

}  // namespace

std::string report_text(const std::vector<Finding>& findings, bool has_colour) {
  size_t name_columns = 0;
  for (const Finding& finding : findings) {
    name_columns = std::max(name_columns, finding.name.size() + 2);
  }
  std::string text;
  for (const Finding& finding : findings) {
    const std::string verdict = padded(to_string(finding.verdict), kVerdictColumns);
    text += has_colour ? std::string(colour_of(finding.verdict)) + verdict + "\x1b[0m" : verdict;
    text += padded(finding.name, name_columns) + finding.seen + "\n";
    if (finding.fix.empty()) continue;
    text += std::string(kVerdictColumns + name_columns, ' ') + "fix: " + finding.fix + "\n";
  }
  return text + "\n" + summary_of(findings);
}

std::string report_json(const std::vector<Finding>& findings) {
  using Json = nlohmann::ordered_json;
  Json document = {{"verdict", to_string(worst_of(findings))}, {"findings", Json::array()}};
  for (const Finding& finding : findings) {
    document["findings"].push_back({{"name", finding.name},
                                    {"verdict", to_string(finding.verdict)},
                                    {"seen", finding.seen},
                                    {"fix", finding.fix}});
  }
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Verdict worst_of(const std::vector<Finding>& findings) {
  Verdict worst = Verdict::ok;
  for (const Finding& finding : findings) {
    if (finding.verdict != Verdict::skipped) worst = std::max(worst, finding.verdict);
  }
  return worst;
}

}  // namespace phub::doctor
